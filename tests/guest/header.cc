#include "header.c"  // the same in C++
