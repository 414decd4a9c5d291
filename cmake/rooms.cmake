# A room is one folder, one library, one namespace. Declared the same way everywhere:
#
#   fg_room(turn
#     SOURCES  allocation.cpp
#     HEADERS  allocation.h
#     USES     fg::stun fg::packet        # rooms of lower layers, visible in our headers
#     PRIVATE  OpenSSL::Crypto)           # libraries that stay inside
#
# Headers are included as "turn/allocation.h" for rooms of src/ and "control/turn/allocation.h" for
# rooms of control/.
function(fg_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;HEADERS;USES;PRIVATE" ${ARGN})
  add_library(fg_${name} STATIC ${ROOM_SOURCES})
  add_library(fg::${name} ALIAS fg_${name})
  target_sources(fg_${name} PUBLIC FILE_SET HEADERS
    BASE_DIRS ${FG_INCLUDE_ROOT} FILES ${ROOM_HEADERS})
  target_include_directories(fg_${name} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
  target_compile_features(fg_${name} PUBLIC cxx_std_20)
  target_link_libraries(fg_${name} PUBLIC ${ROOM_USES} PRIVATE fg_flags ${ROOM_PRIVATE})
  if(NOT ROOM_SOURCES)
    set_target_properties(fg_${name} PROPERTIES LINKER_LANGUAGE CXX)
  endif()
endfunction()

# One GoogleTest binary a room: fg_room_test(turn SOURCES allocation_test.cpp USES fg::turn [LABELS unit])
function(fg_room_test name)
  if(NOT FG_TESTS)
    return()
  endif()
  cmake_parse_arguments(T "" "LOCK" "SOURCES;USES;LABELS" ${ARGN})
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  # What its tests may use one at a time.
  set(lock "")
  if(T_LOCK)
    set(lock RESOURCE_LOCK ${T_LOCK})
  endif()
  add_executable(${name}_test ${T_SOURCES})
  target_link_libraries(${name}_test PRIVATE fg_flags ${T_USES} GTest::gtest GTest::gmock GTest::gtest_main)
  target_include_directories(${name}_test PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name}_test PRIVATE FG_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # Tests are read when they fail and built more often than they run.
  target_compile_options(${name}_test PRIVATE -O1)
  set_target_properties(${name}_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  gtest_discover_tests(${name}_test TEST_PREFIX "${name}." PROPERTIES LABELS "${T_LABELS}" TIMEOUT 60 ${lock}
    DISCOVERY_TIMEOUT 60)
endfunction()
