#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

#include "pool/size_class.h"

namespace ztmpfs {

/// One class of slots as the kernel runs it, as the reference for what compaction moves: twelve fullness groups with
/// insertion at the head, allocation from the fullest group, compaction from the emptiest to the fullest with the
/// destination kept (mm/zsmalloc.c: get_fullness_group, zs_malloc, __zs_compact). Counts, holds no bytes.
class KernelClass {
 public:
  explicit KernelClass(const SizeClass& size_class) : size_class_(size_class) {}

  void allocate(uint64_t object, uint32_t bytes) {
    for (uint32_t group = kFull; group-- > 1;) {
      if (groups_[group].empty()) continue;
      Span& span = *groups_[group].front();
      unlink(span);
      put(span, object, bytes);
      link(span);
      return;
    }
    Span& span = spans_.emplace_back();
    span.self = std::prev(spans_.end());
    put(span, object, bytes);
    link(span);
  }

  void free(uint64_t object) {
    Span& span = *places_.at(object);
    unlink(span);
    span.objects.erase(object);
    places_.erase(object);
    if (span.objects.empty()) {
      spans_.erase(span.self);
    } else {
      link(span);
    }
  }

  void compact() {
    Span* destination = nullptr;
    while (can_compact()) {
      if (destination == nullptr && (destination = isolate(false)) == nullptr) break;
      Span* source = isolate(true);
      if (source == nullptr) break;
      while (!source->objects.empty() && destination->objects.size() < size_class_.objects_per_span) {
        const auto [object, bytes] = *source->objects.begin();
        source->objects.erase(object);
        put(*destination, object, bytes);
        bytes_moved_ += bytes;
      }
      if (source->objects.empty()) {
        pages_freed_ += size_class_.pages_per_span;
        spans_.erase(source->self);
      } else {
        link(*source);
      }
      if (destination->objects.size() == size_class_.objects_per_span) destination = nullptr;
    }
    if (destination != nullptr) link(*destination);
  }

  uint64_t bytes_moved() const { return bytes_moved_; }
  uint64_t pages_freed() const { return pages_freed_; }

 private:
  struct Span {
    std::unordered_map<uint64_t, uint32_t> objects;  // their bytes
    std::list<Span*>::iterator position;
    std::list<Span>::iterator self;
  };
  static constexpr uint32_t kFull = 11;

  uint32_t group_of(const Span& span) const {
    if (span.objects.size() == size_class_.objects_per_span) return kFull;
    return uint32_t(100 * span.objects.size() / size_class_.objects_per_span / 10 + 1);
  }
  void link(Span& span) {
    auto& group = groups_[group_of(span)];
    group.push_front(&span);
    span.position = group.begin();
  }
  void unlink(Span& span) { groups_[group_of(span)].erase(span.position); }
  void put(Span& span, uint64_t object, uint32_t bytes) {
    span.objects.emplace(object, bytes);
    places_[object] = &span;
  }
  bool can_compact() const {
    return spans_.size() * size_class_.objects_per_span - places_.size() >= size_class_.objects_per_span;
  }
  Span* isolate(bool is_source) {
    for (uint32_t i = 1; i < kFull; ++i) {
      auto& group = groups_[is_source ? i : kFull - i];
      if (group.empty()) continue;
      Span* span = group.front();
      unlink(*span);
      return span;
    }
    return nullptr;
  }

  const SizeClass size_class_;
  std::list<Span> spans_;
  std::array<std::list<Span*>, kFull + 1> groups_;
  std::unordered_map<uint64_t, Span*> places_;
  uint64_t bytes_moved_ = 0;
  uint64_t pages_freed_ = 0;
};

}  // namespace ztmpfs
