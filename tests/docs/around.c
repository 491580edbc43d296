/* Around a block of C from the documentation: what such a block takes for granted. BLOCK names a
 * file with `static void fragment(void)`, or with a callback, which STREAM then names; watched.h
 * has every call noted.
 *
 *   around MODEL TEXT [again]
 *
 * `text` is TEXT. With `again` the block runs until its status is no longer YIELDED. Afterwards the
 * session says what is left to say. Prints that, then a line for every status that was a failure.
 */
#include <junto.h>
#include <stdio.h>
#include <string.h>

static char failures[1024];
static junto_status noted(junto_status status) {
  if (status < 0) {
    strcat(failures, junto_status_name(status));
    strcat(failures, "\n");
  }
  return status;
}
#include "watched.h"

static junto_runtime* runtime;
static junto_model* model;
static junto_session* session;
static junto_prompt* prompt;
static junto_error err;
static junto_status status;
static const char* text;
static size_t text_size;

#include BLOCK

static junto_status JUNTO_CALL print(void* user, const junto_chunk* chunk) {
  (void)user;
  fwrite(chunk->text, 1, chunk->text_size, stdout);
  return JUNTO_OK;
}
#ifdef STREAM
static void fragment(void) {}
#else
#define STREAM print
#endif

int main(int argc, char** argv) {
  const char* question = "Why is the sky blue?";
  const int again = argc > 3 && strcmp(argv[3], "again") == 0;
  junto_runtime* first_runtime;
  junto_model* first_model;
  junto_session* first_session;
  junto_sampling sampling;
  (void)print;
  text = argv[2];
  text_size = strlen(text);
  junto_error_init(&err, sizeof err);
  junto_runtime_create(NULL, &runtime, &err);
  junto_model_load(runtime, argv[1], strlen(argv[1]), NULL, &model, &err);
  junto_session_create(model, NULL, &session, &err);
  junto_prompt_create(model, &prompt, &err);
  junto_prompt_begin_turn(prompt, "user", 4, &err);
  junto_prompt_add_text(prompt, question, strlen(question), &err);
  junto_prompt_end_turn(prompt, &err);
  junto_sampling_init(&sampling, sizeof sampling);
  sampling.max_new_tokens = 32;
  junto_session_set_sampling(session, &sampling, &err);
  junto_session_prefill(session, prompt, &err);
  if (failures[0] != '\0') {
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  first_runtime = runtime;
  first_model = model;
  first_session = session;

  do fragment();
  while (again && status == JUNTO_YIELDED);

  if (session != first_session) { /* a new one has heard nothing yet */
    junto_session_set_sampling(session, &sampling, &err);
    junto_session_prefill(session, prompt, &err);
  }
  junto_session_generate(session, STREAM, NULL, &err);
  printf("\n%s", failures);
  junto_prompt_release(prompt);
  if (session != first_session) junto_session_release(session);
  junto_session_release(first_session);
  if (model != first_model) junto_model_release(model);
  junto_model_release(first_model);
  if (runtime != first_runtime) junto_runtime_release(runtime);
  junto_runtime_release(first_runtime);
  return 0;
}
