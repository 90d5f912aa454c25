#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace ztmpfs {

/// One kind of content that blocks hold.
struct Sample {
  std::string name;
  std::vector<std::byte> bytes;
};

inline std::vector<std::byte> random_bytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (auto& byte : bytes) byte = std::byte(random());
  return bytes;
}

/// English-like source text: words of a small vocabulary with numbers between them.
inline std::vector<std::byte> text_bytes(size_t size, uint64_t seed) {
  static const std::vector<std::string> kWords{"static ", "return ", "struct page *", "if (",
                                               ") {\n",   "};\n",    "unsigned ",     "size",
                                               " = ",     " + ",     "const ",        "#include <linux/"};
  std::mt19937_64 random(seed);
  std::string text;
  while (text.size() < size) {
    text += kWords[random() % kWords.size()];
    if (random() % 4 == 0) text += std::to_string(random() % 10000);
  }
  std::vector<std::byte> bytes(size);
  std::memcpy(bytes.data(), text.data(), size);
  return bytes;
}

/// Machine code and tables: the front of a program of this machine, padded with text where it is short.
inline std::vector<std::byte> program_bytes(size_t size) {
  std::ifstream file("/bin/true", std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::byte> bytes = text_bytes(size, 1);
  std::memcpy(bytes.data(), content.data(), std::min(size, content.size()));
  return bytes;
}

/// Counters and pointers, as in tables of a heap.
inline std::vector<std::byte> word_bytes(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t at = 0; at + 8 <= size; at += 8) {
    const uint64_t word = 0x00007f3a'00000000ULL + at * 24;
    std::memcpy(bytes.data() + at, &word, 8);
  }
  return bytes;
}

/// All kinds, at the sizes of a tail, a page and the largest block.
inline std::vector<Sample> corpus() {
  std::vector<Sample> samples;
  for (const size_t size : {size_t(1), size_t(100), size_t(4096), size_t(131072)}) {
    const std::string suffix = std::to_string(size);
    samples.push_back({"Zeros" + suffix, std::vector<std::byte>(size)});
    samples.push_back({"Text" + suffix, text_bytes(size, size)});
    samples.push_back({"Program" + suffix, program_bytes(size)});
    samples.push_back({"Random" + suffix, random_bytes(size, size)});
    samples.push_back({"Words" + suffix, word_bytes(size)});
  }
  return samples;
}

}  // namespace ztmpfs
