#include "ctl/arguments.h"

#include <algorithm>
#include <utility>

namespace ztmpfs {

namespace {

// Goes through the words once; what they mean depends on the command, which is the first that is no option.
class ArgumentParser {
 public:
  explicit ArgumentParser(const std::vector<std::string>& words) : words_(words) {}

  Arguments parse() {
    bool are_options = true;
    while (at_ < words_.size()) {
      const std::string& word = words_[at_++];
      if (!are_options || !word.starts_with('-') || word == "-") {
        take_word(word);
      } else if (word == "--") {
        are_options = false;
      } else {
        take_option(word);
      }
    }
    if (!result_.wants_help && !result_.wants_version) assign_words();
    return std::move(result_);
  }

 private:
  std::string see_help() const {
    return " (see ztmpfsctl " + (result_.command != nullptr ? std::string(result_.command->name) + " " : "") +
           "--help)";
  }

  // In front of a sentence about the command's arguments.
  std::string prefix() const {
    return result_.command != nullptr ? std::string(result_.command->name) + ": " : std::string();
  }

  void take_word(const std::string& word) {
    if (result_.command != nullptr) return positional_.push_back(word);
    const auto command = std::ranges::find(commands(), word, &Command::name);
    if (command == commands().end()) throw CtlUsageError("command " + word + " is unknown" + see_help());
    result_.command = &*command;
  }

  void take_option(const std::string& word) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const CommandOption* option = find(general_options(), name);
    if (option == nullptr && result_.command != nullptr) option = find(result_.command->options, name);
    if (option == nullptr) throw CtlUsageError(prefix() + "option " + name + " is unknown" + see_help());
    if (option->value.empty() && equals != std::string::npos)
      throw CtlUsageError(prefix() + "option " + name + " takes no value");
    std::string value;
    if (!option->value.empty()) value = equals != std::string::npos ? word.substr(equals + 1) : next_word(*option);
    note(*option, std::move(value));
  }

  static const CommandOption* find(std::span<const CommandOption> options, const std::string& name) {
    const auto option = std::ranges::find_if(options, [&](const CommandOption& one) {
      return one.name == name || (!one.short_name.empty() && one.short_name == name);
    });
    return option == options.end() ? nullptr : &*option;
  }

  std::string next_word(const CommandOption& option) {
    if (at_ == words_.size())
      throw CtlUsageError(prefix() + "option " + std::string(option.name) +
                          " needs a value: " + std::string(option.value));
    return words_[at_++];
  }

  void note(const CommandOption& option, std::string value) {
    if (option.name == "--json") result_.as_json = true;
    if (option.name == "--help") result_.wants_help = true;
    if (option.name == "--version") result_.wants_version = true;
    result_.options.insert_or_assign(std::string(option.name), std::move(value));
  }

  // COMMAND [TARGET] [ARGUMENT], or COMMAND ARGUMENT...
  void assign_words() {
    if (result_.command == nullptr) throw CtlUsageError("a command is missing" + see_help());
    const Command& command = *result_.command;
    const size_t needed = command.argument.empty() ? 0 : 1;
    const size_t allowed = command.takes_many() ? SIZE_MAX : needed + (command.takes_target ? 1 : 0);
    if (positional_.size() > allowed) throw CtlUsageError(prefix() + "'" + positional_[allowed] + "' is too much");
    if (positional_.size() < needed)
      throw CtlUsageError(prefix() + std::string(command.argument.substr(0, command.argument.find("..."))) +
                          " is missing");
    if (command.takes_target && positional_.size() > needed) {
      result_.target = std::move(positional_.front());
      positional_.erase(positional_.begin());
    }
    result_.arguments = std::move(positional_);
  }

  const std::vector<std::string>& words_;
  size_t at_ = 0;
  std::vector<std::string> positional_;
  Arguments result_;
};

}  // namespace

Arguments parse_arguments(const std::vector<std::string>& arguments) { return ArgumentParser(arguments).parse(); }

}  // namespace ztmpfs
