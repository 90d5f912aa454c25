#pragma once

#include <string>
#include <string_view>

namespace ztmpfs {

/// Why `text` is no value for psi=, as the rest of a sentence that starts with the option; empty if it is one:
/// "off", an absolute path, or a trigger such as "some:100ms/1s" (stalled for 100 ms within 1 s).
/// The limits are the kernel's: windows from 500 ms to 10 s (Documentation/accounting/psi.rst).
std::string psi_option_error(std::string_view text);

}  // namespace ztmpfs
