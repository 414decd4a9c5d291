// Complete STUN messages as hex. Origins: RFC 5769 §2.1 to §2.4 (published test vectors, IETF Trust
// code-component licence) and spec connectivity 10.2 and 10.3 (computed by its authors from its
// rules).
#pragma once

#include <string_view>

namespace fg::stun::vectors {

// RFC 5769 §2.1, password VOkJxbRl1RmTxUk/WvJxBt. Padding bytes are 0x20.
inline constexpr std::string_view kRfcRequest =
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff"
    "80290008932ff9b151263b36"
    "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf";
// RFC 5769 §2.2, same password.
inline constexpr std::string_view kRfcResponseV4 =
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96";
// RFC 5769 §2.3, same password.
inline constexpr std::string_view kRfcResponseV6 =
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c";
// RFC 5769 §2.4, user U+30DE U+30C8 U+30EA U+30C3 U+30AF U+30B9, realm example.org, password
// TheMatrIX.
inline constexpr std::string_view kRfcLongTerm =
    "000100602112a44278ad3433c6ad72c029da412e"
    "00060012e3839ee38388e383aae38383e382afe382b90000"
    "0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341"
    "0014000b6578616d706c652e6f726700"
    "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666";

// spec connectivity 10.2
inline constexpr std::string_view kCheck =
    "000100482112a442000102030405060708090a0b000600097168706d3a6d703567000000802a000801020304"
    "05060708002400046efffeff00250000000800143877aa5156de5c407904a1da4c9ec1d0c4782ad980280004"
    "ae79ecbe";
inline constexpr std::string_view kCheckReply =
    "0101002c2112a442000102030405060708090a0b002000080001ec83e112a643000800145c4a4e091d22c9f4"
    "c03051c173686e5975912484802800045294dd1f";
inline constexpr std::string_view kCheckPassword = "kvpwadif6734sdalah6lja";

// spec connectivity 10.3
inline constexpr std::string_view kTurnUsername = "1685984278:uvdgKvS9GXYZ_vmv";
inline constexpr std::string_view kTurnPassword = "6xUIoZ+QvxKhRasLifwfRkMXl+ETLJUsFkHlXjlHAkg";
inline constexpr std::string_view kAllocate =
    "000300602112a442000102030405060708090a0b0019000411000000800000040200000080220007736e6f77"
    "6e6574000006001b313638353938343237383a757664674b7653394758595a5f766d760000140008666972657a"
    "6f6e65000800143deace64ad22362373fed0f6c00c38fe38d08f8e";
inline constexpr std::string_view kChannelBind =
    "000900702112a442000102030405060708090a0b001200080001ec83e112a643000c00044000000080220007"
    "736e6f776e6574000006001b313638353938343237383a757664674b7653394758595a5f766d76000014000866"
    "6972657a6f6e65001500076e6f6e63652d310000080014078d090d20f7b1503339b59e65f2cc76036f84fe";

}  // namespace fg::stun::vectors
