#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "tests/posix/call.h"

namespace ztmpfs {

/// A kind of operation: how often it is chosen, and how it is carried out in one world.
struct OperationKind {
  std::string_view name;
  unsigned weight;
  void (*run)(Call&);
};

// One table per group; each in a file of its own.
std::span<const OperationKind> open_operations();
std::span<const OperationKind> io_operations();
std::span<const OperationKind> space_operations();
std::span<const OperationKind> name_operations();
std::span<const OperationKind> attribute_operations();
std::span<const OperationKind> directory_operations();
std::span<const OperationKind> lock_operations();
std::span<const OperationKind> xattr_operations();

/// The tables of all groups in one.
std::vector<OperationKind> all_operations();

}  // namespace ztmpfs
