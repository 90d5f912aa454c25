#!/usr/bin/env python3
"""Each rule of lint.py finds its breach, and only that."""

import tempfile
import unittest
from pathlib import Path

from lint import functions_of, lint, without_comments


class LintTest(unittest.TestCase):
    def complaints(self, **files):
        """What lint says of a tree; in names __ stands for / and _dot_ for a dot."""
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            for name, text in files.items():
                path = root / name.replace("__", "/").replace("_dot_", ".")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return lint(root)

    def assert_one(self, words, **files):
        complaints = self.complaints(**files)
        self.assertEqual(len(complaints), 1, complaints)
        self.assertIn(words, complaints[0])

    def test_accepts_what_is_allowed(self):
        self.assertEqual([], self.complaints(
            base__a_dot_h="#pragma once\n", compress__b_dot_cc='#include <lz4.h>\n#include "base/a.h"\n',
            store__c_dot_cc='#include "compress/b.h"\n#include <boost/unordered/unordered_flat_map.hpp>\n',
            daemon__d_dot_cc="#include <boost/asio/io_context.hpp>\n#include <CLI/CLI.hpp>\n"))

    def test_finds_includes_that_go_up_or_sideways(self):
        self.assert_one("pool/ may not include store/x.h", pool__a_dot_cc='#include "store/x.h"\n')
        self.assert_one("pool/ may not include compress/x.h", pool__a_dot_cc='#include "compress/x.h"\n')
        self.assert_one("ctl/ may not include fs/x.h", ctl__a_dot_cc='#include "fs/x.h"\n')

    def test_finds_includes_without_a_folder(self):
        complaints = self.complaints(pool__a_dot_cc='#include "arena.h"\n')
        self.assertIn("not a path from the top", complaints[0])

    def test_finds_libraries_outside_their_folder(self):
        for header in ("lz4.h", "zstd.h", "fuse3/fuse_lowlevel.h", "linux/fuse.h", "boost/asio.hpp", "CLI/CLI.hpp",
                       "toml++/toml.h", "boost/regex.hpp", "spdlog/spdlog.h"):
            self.assert_one(f"store/ may not include <{header}>", store__a_dot_cc=f"#include <{header}>\n")

    def test_finds_long_files_and_lines(self):
        self.assert_one("501 lines", base__a_dot_cc="int a;\n" * 501)
        self.assert_one("121 columns", base__a_dot_cc="//" + "x" * 119 + "\n")

    def test_finds_long_functions_and_takes_an_excuse(self):
        body = "  do_it();\n" * 69
        self.assertEqual([], self.complaints(base__a_dot_cc="void f() {\n" + body[11:] + "}\n"))
        self.assert_one("a function of 71 lines", base__a_dot_cc="void f() {\n" + body + "}\n")
        self.assert_one(":2: a function of 72 lines", base__a_dot_cc="namespace a {\nvoid f(int b,\n int c) {\n" + body + "}\n}\n")
        self.assertEqual([], self.complaints(
            base__a_dot_cc="// lint: long because it is a table\nvoid f() {\n" + body + "}\n"))

    def test_measures_functions_only(self):
        text = ('class CAPABILITY("a") A {\n void f() { g("}"); }\n int b[2] = {1, 2};\n};\n'
                "A::A() : b_{1} {\n h();\n}\nint t[] = {\n f(1),\n};\nTEST(A, B) {\n for (;;) {\n }\n}\n"
                "template <class T>\nclass C {\n int d(1);\n};\n")
        self.assertEqual([(2, 2), (5, 7), (11, 14)], list(functions_of(without_comments(text))))

    def test_finds_empty_names(self):
        self.assert_one("BlockManager", base__a_dot_h="#pragma once\nclass BlockManager {};\n")
        self.assert_one("file name", base__string_util_dot_cc="int a;\n")

    def test_finds_postponed_work(self):
        self.assert_one("open an issue", base__a_dot_cc="// TO" + "DO: later\n")

    def test_finds_headers_without_guard(self):
        self.assert_one("#pragma once", base__a_dot_h="int a;\n")

    def test_finds_documents_that_name_what_is_gone(self):
        self.assert_one("base/gone.h does not exist", base__a_dot_cc="", README_dot_md="see `base/a.cc` and `base/gone.h`\n")
        self.assert_one("base/a.h does not exist", base__a_dot_cc="", README_dot_md="see `base/a.{h,cc}`\n")
        self.assert_one("NEWS.md does not exist", README_dot_md="see [news](NEWS.md)\n")
        self.assertEqual([], self.complaints(README_dot_md="`/etc/fstab`, `build/release/bin/ztmpfs`, `K M G`, `a/b`\n"))


if __name__ == "__main__":
    unittest.main()
