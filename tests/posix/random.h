#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace ztmpfs {

/// Seeded numbers, the same on every machine (splitmix64, by Sebastiano Vigna).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t mixed = state_;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return mixed ^ mixed >> 31;
  }
  /// From 0 to limit - 1.
  uint64_t below(uint64_t limit) { return next() % limit; }
  bool chance(unsigned percent) { return below(100) < percent; }
  template <class T>
  T pick(std::initializer_list<T> items) {
    return items.begin()[below(items.size())];
  }
  /// Bytes as files have them: text that compresses, noise, or one value over and over.
  std::string bytes(size_t length);

 private:
  uint64_t state_;
};

inline std::string Random::bytes(size_t length) {
  std::string data(length, '\0');
  const uint64_t kind = below(4);
  const char fill = kind == 0 ? '\0' : char(next());
  for (size_t i = 0; i < length; ++i) data[i] = kind < 2 ? fill : kind == 2 ? char('a' + (i / 7 + i % 5) % 20) : '\0';
  if (kind == 2 && length > 0) data[below(length)] = char(next());
  for (size_t i = 0; kind == 3 && i < length; i += sizeof(uint64_t)) {
    const uint64_t noise = next();
    for (size_t byte = 0; byte < sizeof(noise) && i + byte < length; ++byte) data[i + byte] = char(noise >> 8 * byte);
  }
  return data;
}

}  // namespace ztmpfs
