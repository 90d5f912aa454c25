// Random control requests, from noise to almost right ones. tests/fuzz/control_fuzz.cc does the same with coverage;
// this one always does the same.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/log.h"
#include "tests/daemon/control_fuzzer.h"

namespace ztmpfs {
namespace {

using Random = std::mt19937_64;

std::string_view any(const std::vector<std::string_view>& choices, Random& random) {
  return choices[random() % choices.size()];
}

std::string make_body(Random& random) {
  const std::string key(any({"size", "hot", "psi", "bytes", "block", "", "\\u0000"}, random));
  const std::string value(
      any({"1", "\"64M\"", "\"100M\"", "\"1\"", "\"99T\"", "-5", "1e300", "18446744073709551616", "\"off\"",
           "\"some:1ms/1s\"", "\"/nowhere\"", "null", "true", "[]", "{}", "\"", "\"\\ud800\"", "\"50%\""},
          random));
  const std::string second(any({"", "", ",\"hot\":\"1M\"", ",\"size\":\"x\"", ",\"psi\":\"off\"", ","}, random));
  if (random() % 8 == 0) return std::string(random() % 3 == 0 ? 70'000 : random() % 5000, '[');
  return "{\"" + key + "\":" + value + second + "}";
}

std::string make_request(Random& random) {
  const std::string body = make_body(random);
  std::string text(any({"GET", "POST", "PUT", "DELETE", "get", ""}, random));
  text += " ";
  text += any({"/v1/stats", "/v1/info", "/v1/check", "/v1/compact", "/v1/shrink", "/v1/set", "/metrics", "/", "*",
               "/v1/../v1/set", "http://x/v1/stats", "/v1/set?size=1"},
              random);
  text += any({" HTTP/1.1\r\n", " HTTP/1.1\r\n", " HTTP/1.1\r\n", " HTTP/1.0\r\n", " HTTP/9.9\r\n", "\r\n"}, random);
  switch (random() % 6) {
    case 0: text += "Content-Length: 99999999999999999999\r\n"; break;
    case 1: text += "Content-Length: " + std::to_string(random() % 300) + "\r\n"; break;
    case 2: text += "Transfer-Encoding: chunked\r\n"; break;
    default: text += "Content-Length: " + std::to_string(body.size()) + "\r\n"; break;
  }
  if (random() % 4 == 0) text += "Expect: 100-continue\r\n";
  if (random() % 16 == 0) text += "X: " + std::string(random() % 20'000, 'x') + "\r\n";
  return text + "\r\n" + body;
}

std::vector<uint8_t> make_input(Random& random) {
  std::string text(1, char(random()));
  for (uint64_t requests = 1 + random() % 3; requests != 0; --requests) text += make_request(random);
  if (random() % 4 == 0) text.resize(1 + random() % text.size());  // cut off
  for (uint64_t changes = random() % 4; changes != 0; --changes) text[random() % text.size()] = char(random());
  return {text.begin(), text.end()};
}

TEST(ControlStorm, NeitherNoiseNorAlmostRequestsDoHarm) {
  ControlFuzzer fuzzer;
  std::map<unsigned, int> answers;
  Random random(1);
  for (int round = 0; round < 1000; ++round)
    for (const unsigned status : fuzzer.feed(make_input(random))) ++answers[status];
  for (const unsigned status : {200, 400, 404, 405, 413, 431})
    EXPECT_GT(answers[status], 0) << "no request was answered with " << status;
}

}  // namespace
}  // namespace ztmpfs
