// Preloaded into node, process.ppid tells how many KiB malloc has given out and not got back, over all arenas: resident memory also has what the allocator keeps for later.
//
// cc -shared -fPIC -O1 -o malloc_in_use.so malloc_in_use.c
#define _GNU_SOURCE
#include <malloc.h>
#include <unistd.h>

pid_t getppid(void) {
  struct mallinfo2 found = mallinfo2();
  return (pid_t)((found.uordblks + found.hblkhd) / 1024);
}
