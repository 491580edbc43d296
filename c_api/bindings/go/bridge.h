/* What Go cannot say itself: callbacks in C that call Go, and structs that point to structs. */
#ifndef JUNTO_GO_BRIDGE_H_
#define JUNTO_GO_BRIDGE_H_
#include <junto.h>

/* A loop that is under way. */
typedef struct junto_go_tasks junto_go_tasks;

/* Takes turns in it until none is left. */
void junto_go_work(junto_go_tasks* tasks, uint32_t worker);

/* Services of Go's own. */
enum { JUNTO_GO_ALLOCATOR = 1, JUNTO_GO_FILES = 2, JUNTO_GO_LOG = 4 };

/* services: the handle of a Go value that has those that `own` names, and, where there are workers,
 * the executor. */
junto_status junto_go_runtime_create(const junto_runtime_desc* desc, uintptr_t services,
                                     uint32_t own, uint32_t workers, junto_runtime** out,
                                     junto_error* err);

/* listener: the handle of a Go value that hears the chunks. */
junto_status junto_go_generate(junto_session* session, uintptr_t listener, junto_error* err);
#endif
