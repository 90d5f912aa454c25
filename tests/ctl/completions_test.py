#!/usr/bin/env python3
"""The shells' completions know the programs' words and no others; where a shell is installed, they are tried in it.

usage: completions_test.py BINARIES [unittest arguments]
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from fake_mount import FakeMount

COMPLETIONS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                           "packaging", "completions")
PATIENCE = 60
DRIVER = """
compopt() { :; }
source "$1"
COMP_LINE="$2"
COMP_POINT=${#COMP_LINE}
read -ra COMP_WORDS <<<"$COMP_LINE"
[[ "$COMP_LINE" == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_%s
printf '%%s\\n' "${COMPREPLY[@]}"
"""


def text_of(name):
    with open(os.path.join(COMPLETIONS, name), encoding="utf-8") as file:
        return file.read()


def options_in(text):
    """Options at the beginning of the lines of a help text: "-h, --help", "-o X"."""
    heads = re.findall(r"^  (-\S.*?)(?:  |$)", text, re.MULTILINE)
    return {option for head in heads for option in re.findall(r"(?:^|[ ,])(--?[a-zA-Z][a-z-]*)", head)}


class CompletionTest(unittest.TestCase):
    binaries = ""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="ztmpfs-ctl-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.environment = dict(os.environ, ZTMPFS_RUNTIME_DIR=self.directory,
                                PATH=self.binaries + ":" + os.environ["PATH"], HOME=self.directory, LC_ALL="C.UTF-8")

    def output(self, *command, **keywords):
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE,
                                check=False, **keywords)
        self.assertEqual((result.returncode, result.stderr), (0, ""), command)
        return result.stdout

    def help(self, *arguments):
        return self.output(os.path.join(self.binaries, arguments[0]), *arguments[1:], "--help")

    def commands(self):
        section = self.help("ztmpfsctl").split("\nCommands:\n")[1].split("\n\n")[0]
        return set(re.findall(r"^  (\w+)", section, re.MULTILINE))

    def run_options(self):
        return options_in(self.help("ztmpfs", "run"))

    def need(self, shell):
        if shutil.which(shell) is None:
            self.skipTest(f"{shell} is not installed")


class Bash(CompletionTest):
    def complete(self, line, directory=None):
        program = line.split()[0]
        script = os.path.join(COMPLETIONS, program + ".bash")
        words = self.output("bash", "--norc", "-c", DRIVER % program, "driver", script, line,
                            cwd=directory or self.directory).splitlines()
        return {word.rstrip(" ") for word in words if word}

    def test_commands_are_those_of_the_program(self):
        self.assertEqual(self.complete("ztmpfsctl "), self.commands())
        self.assertEqual(self.complete("ztmpfsctl --json st"), {"stats"})

    def test_options_of_each_command_are_those_of_its_help(self):
        for command in self.commands():
            options = {option for option in options_in(self.help("ztmpfsctl", command)) if option.startswith("--")}
            self.assertEqual(self.complete(f"ztmpfsctl {command} --"), options, command)
        self.assertEqual(self.complete("ztmpfsctl --"),
                         {option for option in options_in(self.help("ztmpfsctl")) if option.startswith("--")})

    def test_mounts_are_those_that_are_there(self):
        for name in ("build", "web-1.2"):
            mount = FakeMount(self.directory, name)
            self.addCleanup(mount.close)
        for command in self.commands() - {"list", "estimate", "set"}:
            self.assertEqual(self.complete(f"ztmpfsctl {command} "), {"build", "web-1.2"}, command)
        self.assertEqual(self.complete("ztmpfsctl set "), {"build", "web-1.2", "size=", "hot=", "psi="})
        self.assertEqual(self.complete("ztmpfsctl stats b"), {"build"})
        self.assertEqual(self.complete("ztmpfsctl list "), set())

    def test_paths_and_values_are_completed_where_they_belong(self):
        os.mkdir(os.path.join(self.directory, "folder"))
        with open(os.path.join(self.directory, "file"), "wb"):
            pass
        self.assertEqual(self.complete("ztmpfsctl estimate f"), {"folder", "file"})
        self.assertEqual(self.complete("ztmpfsctl estimate --codec zstd:1"), {"1", "19"})
        self.assertEqual(self.complete("ztmpfsctl top ./f"), {"./folder"})
        self.assertEqual(self.complete("ztmpfsctl top --count "), set())
        self.assertEqual(self.complete("ztmpfs name f"), {"folder"})
        self.assertEqual(self.complete("ztmpfs name folder "), set())

    def test_options_of_ztmpfs_are_those_of_its_help(self):
        self.assertEqual(self.complete("ztmpfs -"), options_in(self.help("ztmpfs")))

    def test_options_of_a_mount_are_completed_one_by_one(self):
        self.assertEqual(self.complete("ztmpfs -o si"), {"size=", "silent"})
        self.assertEqual(self.complete("ztmpfs -o xattr,noe"), {"xattr,noexec"})
        self.assertEqual(self.complete("ztmpfs -f -o size=1G,ho"), {"1G,hot="}, "behind the last word break")
        self.assertEqual(self.complete("ztmpfs -o block=1"), {"16K", "128K"})
        self.assertEqual(self.complete("ztmpfs -o keep,codec=l"), {"lz4"})
        for option in self.complete("ztmpfs -o "):
            if option.endswith("="):
                continue
            result = subprocess.run([os.path.join(self.binaries, "ztmpfs"), "-o", f"{option},nonsense", "a", "/a"],
                                    capture_output=True, text=True, timeout=PATIENCE, check=False)
            self.assertRegex(result.stderr, "'nonsense|remount", option)

    def test_run_completes_its_options_and_a_command(self):
        self.assertIn("run", self.complete("ztmpfs "))
        self.assertIn("env", self.complete("ztmpfs run en"))
        self.assertIn("env", self.complete("ztmpfs run -o size=1G -- en"))
        self.assertEqual(self.complete("ztmpfs run -o ho"), {"hot="})
        os.mkdir(os.path.join(self.directory, "folder"))
        self.assertEqual(self.complete("ztmpfs run --copy-in fo"), {"folder"})
        self.assertEqual(self.complete("ztmpfs run -o xattr cat fo"), {"folder"})
        self.assertEqual(self.complete("ztmpfs run -"), self.run_options())


class OtherShells(CompletionTest):
    @staticmethod
    def zsh_options(text):
        """What has a description: '--all[...]' and '(-h --help)'{-h,--help}'[...]'."""
        single = re.findall(r"'\*?(--?[a-zA-Z][a-z-]*)\[", text)
        pairs = re.findall(r"\{(-\w),(--[a-z-]+)\}'\[", text)
        return set(single).union(*pairs)

    def test_zsh_knows_the_words_and_no_others(self):
        text = text_of("_ztmpfsctl")
        listed = text.split("commands=(\n")[1].split("\n  )")[0]
        self.assertEqual(set(re.findall(r"^ +'(\w+):", listed, re.MULTILINE)), self.commands())
        expected = set().union(*(options_in(self.help("ztmpfsctl", command)) for command in self.commands()))
        self.assertEqual(self.zsh_options(text), expected)

    def test_fish_knows_the_words_and_no_others(self):
        text = text_of("ztmpfsctl.fish")
        self.assertEqual(set(re.search(r"set -l commands (.*)", text)[1].split()), self.commands())
        self.assertEqual(set(re.findall(r"-n \$no_command -a (\w+)", text)), self.commands())
        expected = set().union(*(options_in(self.help("ztmpfsctl", command)) for command in self.commands()))
        found = {"--" + word for word in re.findall(r"^complete .* -l ([a-z-]+)", text, re.MULTILINE)}
        found |= {"-" + word for word in re.findall(r"^complete .* -s (\w) -l", text, re.MULTILINE)}
        self.assertEqual(found, expected)

    def test_options_of_ztmpfs_are_known_to_all_shells(self):
        expected = options_in(self.help("ztmpfs"))
        self.assertEqual(self.zsh_options(text_of("_ztmpfs").split("    return\n")[1]), expected)
        lines = [line for line in text_of("ztmpfs.fish").splitlines() if "-n __fish_ztmpfs_is_run" not in line]
        found = {"--" + word for line in lines for word in re.findall(r"^complete .* -l ([a-z-]+)", line)}
        found |= {"-" + word for line in lines for word in re.findall(r"^complete .* -s (\w) ", line)}
        self.assertEqual(found, expected)

    def test_options_of_run_are_known_to_all_shells(self):
        zsh = text_of("_ztmpfs").split("words[2] == run")[1].split("return")[0]
        self.assertEqual(self.zsh_options(zsh), self.run_options())
        expected = {option for option in self.run_options() if option.startswith("--")}
        fish = text_of("ztmpfs.fish")
        found = re.findall(r"-n __fish_ztmpfs_is_run .*-l ([a-z-]+)", fish)
        self.assertEqual({"--" + word for word in found} | {"--help"}, expected)

    def test_zsh_takes_them(self):
        self.need("zsh")
        for name in ("_ztmpfs", "_ztmpfsctl"):
            self.output("zsh", "-n", os.path.join(COMPLETIONS, name))

    def test_fish_takes_them_and_completes(self):
        self.need("fish")
        mount = FakeMount(self.directory, "build")
        self.addCleanup(mount.close)

        def complete(line):
            program = line.split()[0]
            command = f"source {COMPLETIONS}/{program}.fish; complete -C '{line}'"
            return {found.split("\t")[0] for found in self.output("fish", "--no-config", "-c", command).splitlines()}

        self.assertEqual(complete("ztmpfsctl "), self.commands())
        self.assertEqual(complete("ztmpfsctl top "), {"build"})
        self.assertEqual(complete("ztmpfs -o keep,noe"), {"keep,noexec"})


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    CompletionTest.binaries = os.path.realpath(sys.argv.pop(1))
    unittest.main(verbosity=2)
