// Stands for a program that is asked whether it could take over, and does not answer as it should.
#include <unistd.h>

#include <cstdlib>

namespace {

// Says nothing, and closes its output all the same.
[[maybe_unused]] int hang() {
  ::close(STDOUT_FILENO);
  while (true) ::pause();
}

// Refuses, with more words than anybody wants to keep.
[[maybe_unused]] int chatter() {
  for (int i = 0; i < 1000; ++i)
    if (::write(STDOUT_FILENO, "words, words, words, ", 21) != 21) return EXIT_SUCCESS;
  return EXIT_FAILURE;
}

}  // namespace

int main() { return BEHAVE(); }
