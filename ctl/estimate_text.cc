#include "ctl/estimate_text.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <sstream>

#include "ctl/figures.h"
#include "ctl/printable.h"
#include "ctl/text_table.h"

namespace ztmpfs {

namespace {

namespace json = boost::json;

constexpr size_t kDefaultBlockSize = 2;
constexpr size_t kIndent = 2;

const TreeEstimate::OfBlockSize& default_size(const EstimateReport& report) {
  return report.estimate.sizes[kDefaultBlockSize];
}

std::string describe_tree(const EstimateReport& report) {
  const TreeContents& tree = report.tree;
  std::string text = counted(tree.files_found, "file") + ", " + counted(tree.directories_found, "directory");
  if (tree.symlinks_found != 0) text += ", " + counted(tree.symlinks_found, "symbolic link");
  if (tree.others_found != 0)
    text += ", " + counted(tree.others_found, "device, FIFO or socket", "devices, FIFOs and sockets");
  text += "; " + format_bytes(tree.data_total);
  if (tree.size_total > tree.data_total)
    text += " and " + format_bytes(tree.size_total - tree.data_total) + " of holes, which take nothing";
  return text + "\n";
}

std::string describe_rest(const EstimateReport& report) {
  const TreeContents& tree = report.tree;
  std::string text;
  if (tree.further_links != 0)
    text += "  hard links    " + counted(tree.further_links, "further name") + " of files that are counted once\n";
  if (tree.file_systems_left_out != 0)
    text += "  left out      " + counted(tree.file_systems_left_out, "other file system") +
            " below; name its mount point to have it counted\n";
  if (!tree.unreadable.empty())
    text += "  left out      " +
            counted(tree.unreadable.size(), "file or directory that cannot be read",
                    "files and directories that cannot be read") +
            "\n";
  if (report.plan.is_sample)
    text += "  sample        " + format_bytes(report.plan.chosen_total) + " of " + format_bytes(tree.data_total) +
            " were read, evenly spread; --all reads everything\n";
  return text;
}

std::string describe_blocks(const EstimateReport& report) {
  const TreeEstimate::OfBlockSize& size = default_size(report);
  std::string text = "  blocks        " + counted(size.blocks, "block") + " of at most 32 KiB\n";
  text += "  same-filled   " + counted(size.same_filled, "block") + " of one repeated word, stored without memory\n";
  text += "  duplicates    " + counted(size.duplicates, "block") + " equal to another one (" +
          percent(size.duplicates, size.compared) + " of those " + (report.plan.is_sample ? "read" : "there are") +
          "); ztmpfs does not make use of that\n";
  return text;
}

std::string block_size_name(uint32_t block_size) { return std::to_string(block_size / kKiB) + " KiB"; }

std::string ratio_table(const EstimateReport& report, bool has_colours) {
  TextTable table({TextTable::Align::kLeft, TextTable::Align::kRight});
  std::vector<std::string> heading{"ratio by codec and block size"};
  std::vector<std::string> same{"same-filled blocks"};
  std::vector<std::string> duplicates{"duplicate blocks"};
  for (const TreeEstimate::OfBlockSize& size : report.estimate.sizes) {
    heading.push_back(block_size_name(size.block_size));
    same.push_back(percent(size.same_filled, size.blocks));
    duplicates.push_back(percent(size.duplicates, size.compared));
  }
  table.add(heading, Tone::kBold);
  for (size_t codec = 0; codec < default_size(report).codecs.size(); ++codec) {
    std::vector<std::string> row{default_size(report).codecs[codec].name};
    for (const TreeEstimate::OfBlockSize& size : report.estimate.sizes)
      row.push_back(ratio(size.contents, size.codecs[codec].stored));
    table.add(row);
  }
  table.add(same, Tone::kDim);
  table.add(duplicates, Tone::kDim);
  return table.text(kIndent, has_colours);
}

std::string memory_table(const EstimateReport& report, bool has_colours) {
  const TreeEstimate& estimate = report.estimate;
  TextTable table({TextTable::Align::kLeft, TextTable::Align::kRight, TextTable::Align::kLeft});
  table.add({"memory with the default settings", format_bytes(estimate.total()),
             ratio(report.tree.data_total, estimate.total()) + " contents to memory"},
            Tone::kBold);
  table.add({"  contents", format_bytes(estimate.contents),
             ratio(report.tree.data_total, estimate.contents) + " contents to memory"});
  table.add({"  tables", format_bytes(estimate.tables), "inodes, names, blocks"});
  table.add({"  indexes", format_bytes(estimate.indexes), "the server's own memory"});
  table.add({"  the mount itself", format_bytes(estimate.fixed), "buffers, two processes"});
  return table.text(kIndent, has_colours);
}

json::array sizes_json(const TreeEstimate& estimate) {
  json::array sizes;
  for (const TreeEstimate::OfBlockSize& size : estimate.sizes) {
    json::array codecs;
    for (const TreeEstimate::OfCodec& codec : size.codecs)
      codecs.push_back(json::object{
          {"codec", codec.name},
          {"stored_bytes", codec.stored},
          {"ratio", codec.stored == 0 ? json::value() : json::value(double(size.contents) / double(codec.stored))}});
    sizes.push_back(json::object{{"block", size.block_size},
                                 {"blocks", size.blocks},
                                 {"bytes", size.contents},
                                 {"same_filled_blocks", size.same_filled},
                                 {"compared_blocks", size.compared},
                                 {"duplicate_blocks", size.duplicates},
                                 {"codecs", std::move(codecs)}});
  }
  return sizes;
}

}  // namespace

std::string estimate_text(const EstimateReport& report, bool has_colours) {
  std::string text;
  for (const std::string& path : report.paths) text += (text.empty() ? "" : ", ") + printable(path);
  text = paint(text, Tone::kBold, has_colours) + ": " + describe_tree(report);
  return text + describe_blocks(report) + describe_rest(report) + "\n" + ratio_table(report, has_colours) + "\n" +
         memory_table(report, has_colours);
}

std::string estimate_json(const EstimateReport& report) {
  const TreeContents& tree = report.tree;
  const TreeEstimate& estimate = report.estimate;
  json::array paths;
  for (const std::string& path : report.paths) paths.emplace_back(path);
  json::array unreadable;
  for (const std::string& sentence : tree.unreadable) unreadable.emplace_back(sentence);
  const json::object result{{"paths", std::move(paths)},
                            {"files", tree.files_found},
                            {"directories", tree.directories_found},
                            {"symbolic_links", tree.symlinks_found},
                            {"others", tree.others_found},
                            {"further_hard_links", tree.further_links},
                            {"file_systems_left_out", tree.file_systems_left_out},
                            {"unreadable", std::move(unreadable)},
                            {"bytes", tree.data_total},
                            {"hole_bytes", tree.size_total - tree.data_total},
                            {"sampled", report.plan.is_sample},
                            {"bytes_read", report.plan.chosen_total},
                            {"block_sizes", sizes_json(estimate)},
                            {"memory", json::object{{"total", estimate.total()},
                                                    {"contents", estimate.contents},
                                                    {"tables", estimate.tables},
                                                    {"indexes", estimate.indexes},
                                                    {"fixed", estimate.fixed}}}};
  return json::serialize(result) + "\n";
}

}  // namespace ztmpfs
