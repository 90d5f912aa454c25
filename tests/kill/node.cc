#include "tests/kill/node.h"

#include <algorithm>

namespace ztmpfs {

unsigned Node::subdirectories() const {
  return unsigned(std::ranges::count_if(children, [](const auto& child) { return child.second->is_directory(); }));
}

bool Node::contains(const Node& other) const {
  for (const Node* node = &other; node != nullptr; node = node->parent)
    if (node == this) return true;
  return false;
}

namespace {

void note_change(Node& directory, const std::string& name) {
  directory.touch_contents();
  for (Walk* walk : directory.walks) walk->touched[name] = true;
}

}  // namespace

void add_name(Node& directory, const std::string& name, const NodePointer& node) {
  note_change(directory, name);
  directory.children[name] = node;
  ++node->names;
  node->never_named = false;
  node->touch();
  if (!node->is_directory()) return;
  node->parent = &directory;
  node->name = name;
}

void remove_name(Node& directory, const std::string& name) {
  note_change(directory, name);
  const NodePointer node = directory.children.at(name);
  directory.children.erase(name);
  --node->names;
  node->touch();
  if (node->is_directory()) node->parent = nullptr;
}

}  // namespace ztmpfs
