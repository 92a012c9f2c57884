// PrepareProcess: what a program does first, before it opens anything. For main functions only: it
// changes the process, which is no business of a library.
//
//   int main(int argc, char** argv) {
//     PrepareProcess();
//     return Run(argc, argv);
//   }
#ifndef PROTOPAGE_BASE_PROCESS_H_
#define PROTOPAGE_BASE_PROCESS_H_

namespace protopage {

// - Standard descriptors that are closed are opened, or the next files would get their numbers, and
//   the lines written to them. Reading and writing them fails.
// - Writing to a closed pipe, or beyond the limit on the size of files, is an error (EPIPE, EFBIG)
//   and no signal.
// - The stack has at least 256 KiB, or the process ends with one line on stderr and status 1; those
//   of threads have 1 MiB, however small the limit on the stack is.
// - When memory or threads run out where nothing handles that, the process ends with one line on
//   stderr and status 1.
//
// Linking it also keeps OpenBLAS from starting threads, and from taking memory for them, when the
// program is loaded: our thread pool owns the threads.
void PrepareProcess();

}  // namespace protopage

#endif  // PROTOPAGE_BASE_PROCESS_H_
