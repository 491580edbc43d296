/* What Go cannot say itself: callbacks in C that call Go, and structs that point to structs. */
#ifndef JUNTO_GO_BRIDGE_H_
#define JUNTO_GO_BRIDGE_H_
#include <junto.h>

/* A loop that is under way. */
typedef struct junto_go_tasks junto_go_tasks;

/* Takes turns in it until none is left. */
void junto_go_work(junto_go_tasks* tasks, uint32_t worker);

/* services: the handle of a Go value that has the allocator and the executor. */
junto_status junto_go_runtime_create(const junto_runtime_desc* desc, uintptr_t services,
                                     int own_allocator, uint32_t workers, junto_runtime** out,
                                     junto_error* err);

/* listener: the handle of a Go value that hears the chunks. */
junto_status junto_go_generate(junto_session* session, uintptr_t listener, junto_error* err);
#endif
