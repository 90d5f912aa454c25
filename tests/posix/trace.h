#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ztmpfs {

/// What one operation came to on one file system: labelled values in the order in which they were seen.
class Trace {
 public:
  struct Field {
    std::string label;
    std::string value;
  };

  void add(std::string_view label, std::string_view value) {
    fields_.push_back({std::string(label), std::string(value)});
  }
  void add(std::string_view label, int64_t value) { add(label, std::to_string(value)); }
  /// Adds a system call's result: the number, or the name of `error` if it is -1.
  void add_result(std::string_view label, int64_t result, int error);
  /// Tells a reader what was called with which arguments; not compared.
  void describe(std::string_view text) { (description_ += description_.empty() ? "" : "; ") += text; }

  /// Something worth to be seen beside a difference, not compared.
  void note(std::string_view label, std::string_view value) {
    notes_.push_back({std::string(label), std::string(value)});
  }

  const std::vector<Field>& fields() const { return fields_; }
  const std::vector<Field>& notes() const { return notes_; }
  const std::string& description() const { return description_; }

 private:
  std::vector<Field> fields_;
  std::vector<Field> notes_;
  std::string description_;
};

/// One value that is not the same.
struct Difference {
  std::string_view operation;
  std::string label;
  std::string ours;
  std::string reference;
};

/// The differences of two traces of the same operation, field by field; a missing field has the value "(none)".
std::vector<Difference> differences(std::string_view operation, const Trace& ours, const Trace& reference);

/// A value as it can be printed: long ones cut around `at`, bytes escaped.
std::string printable(std::string_view value, size_t at);
/// The first byte at which two values differ.
size_t first_difference(std::string_view left, std::string_view right);

}  // namespace ztmpfs
