# Flags every target of this project is compiled with. Linked privately, so they reach no consumer.
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

set(FG_SANITIZE "" CACHE STRING "value for -fsanitize=, e.g. address,undefined or thread")

add_library(fg_flags INTERFACE)
target_compile_features(fg_flags INTERFACE cxx_std_20)
target_compile_options(fg_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast
  -Wnon-virtual-dtor -Wimplicit-fallthrough -fno-omit-frame-pointer)
target_compile_definitions(fg_flags INTERFACE _GLIBCXX_ASSERTIONS)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 sees std::optional's storage as uninitialized at -O2 although the flag is checked.
  target_compile_options(fg_flags INTERFACE -Wno-maybe-uninitialized)
endif()

# libstdc++ 12 implements std::stable_sort with a function it marks as deprecated; only Clang says so.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(fg_flags INTERFACE -Wno-deprecated-declarations)
endif()

# The packaged minimum: AVX2-class machines. Faster code of libraries is chosen at run time.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(fg_flags INTERFACE -march=x86-64-v3)
endif()

if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(fg_flags INTERFACE -fstack-protector-strong -fcf-protection -D_FORTIFY_SOURCE=2)
  target_link_options(fg_flags INTERFACE -Wl,-z,relro,-z,now -pie)
endif()

if(FG_SANITIZE)
  target_compile_options(fg_flags INTERFACE -fsanitize=${FG_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(fg_flags INTERFACE -fsanitize=${FG_SANITIZE})
  if(FG_SANITIZE MATCHES thread)
    # Asio's fences, which TSan does not see; they order the one control thread with nobody.
    target_compile_options(fg_flags INTERFACE -Wno-tsan)
  endif()
endif()

# Rooms are instrumented for libFuzzer; its main() comes with the targets of tests/fuzz.
if(FG_FUZZ)
  set(FG_FUZZ_SANITIZERS address,undefined)
  target_compile_options(fg_flags INTERFACE -fsanitize=fuzzer-no-link,${FG_FUZZ_SANITIZERS} -fno-sanitize-recover=all)
  target_link_options(fg_flags INTERFACE -fsanitize=${FG_FUZZ_SANITIZERS})
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
