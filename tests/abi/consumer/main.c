/* Starts and ends a runtime; 0 when that works with the library that junto.h belongs to. */
#include <junto.h>
#include <stddef.h>

int main(void) {
  junto_runtime* runtime = NULL;
  const uint32_t version =
      JUNTO_VERSION_MAJOR << 16 | JUNTO_VERSION_MINOR << 8 | JUNTO_VERSION_PATCH;
  if (junto_version() != version) return 1;
  if (junto_runtime_create(NULL, &runtime, NULL) != JUNTO_OK) return 2;
  junto_runtime_release(runtime);
  return 0;
}
