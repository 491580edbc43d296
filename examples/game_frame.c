/* A game that talks: 60 frames a second, 12 ms of game work in each, and 2 ms in which two
 * characters speak at once, as forks of one scene. In the middle the player saves and loads.
 * Junto runs on the game's own job system and starts no thread.
 *   game_frame [MODEL.gguf] [--frames N]
 * Prints what was said, which is the same however the frames cut it, and how long they took. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "junto.h"

enum { kCharacters = 2, kMaxWorkers = 16, kSaid = 1 << 14 };
static const uint64_t kMillisecond = 1000000;
static const uint64_t kFrame = 1000000000 / 60;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- The game's jobs: loops whose turns any worker may take. ---------------------------------
 * Who waits for a loop takes part in it; an engine with fibres would switch to another instead. */
typedef struct loop {
  junto_task_fn fn;
  void* task;
  uint32_t count;
  atomic_uint next; /* turn */
  atomic_uint helpers;
} loop;

typedef struct job_system {
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  _Atomic(loop*) open; /* the loop that has turns to take, of which there is one at a time */
  int quit;
  uint32_t workers; /* the main thread is number 0 */
  pthread_t threads[kMaxWorkers];
} job_system;

typedef struct worker {
  job_system* jobs;
  uint32_t index;
} worker;

static void take_turns(loop* l, uint32_t index) {
  unsigned turn;
  while ((turn = atomic_fetch_add(&l->next, 1)) < l->count) l->fn(l->task, turn, index);
}

/* A game's workers look for work a little while before they sleep: it comes in quick succession. */
static void look_for_work(job_system* jobs) {
  int i;
  for (i = 0; i < 4000 && atomic_load_explicit(&jobs->open, memory_order_relaxed) == NULL; ++i) {
  }
}

static void* worker_main(void* argument) {
  const worker self = *(worker*)argument;
  job_system* jobs = self.jobs;
  free(argument);
  for (;;) {
    loop* l;
    look_for_work(jobs);
    pthread_mutex_lock(&jobs->mutex);
    while ((l = atomic_load(&jobs->open)) == NULL && !jobs->quit) {
      pthread_cond_wait(&jobs->wake, &jobs->mutex);
    }
    if (l != NULL) atomic_fetch_add(&l->helpers, 1);
    pthread_mutex_unlock(&jobs->mutex);
    if (l == NULL) return NULL;
    take_turns(l, self.index);
    pthread_mutex_lock(&jobs->mutex); /* nobody else needs to look at it */
    if (atomic_load(&jobs->open) == l) atomic_store(&jobs->open, NULL);
    pthread_mutex_unlock(&jobs->mutex);
    atomic_fetch_sub(&l->helpers, 1); /* the last that is done with it: it lives on a stack */
  }
}

/* What Junto takes for its executor, and what the game uses itself. */
static junto_status JUNTO_CALL parallel_for(void* user, uint32_t count, junto_task_fn fn,
                                            void* task) {
  job_system* jobs = user;
  loop l;
  l.fn = fn;
  l.task = task;
  l.count = count;
  atomic_init(&l.next, 0);
  atomic_init(&l.helpers, 0);
  if (count > 1) {
    pthread_mutex_lock(&jobs->mutex);
    atomic_store(&jobs->open, &l);
    pthread_cond_broadcast(&jobs->wake);
    pthread_mutex_unlock(&jobs->mutex);
  }
  take_turns(&l, 0);
  if (count > 1) {
    pthread_mutex_lock(&jobs->mutex);
    atomic_store(&jobs->open, NULL);
    pthread_mutex_unlock(&jobs->mutex);
    while (atomic_load(&l.helpers) != 0) {
    }
  }
  return JUNTO_OK;
}

static void start_jobs(job_system* jobs) {
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  uint32_t i;
  memset(jobs, 0, sizeof *jobs);
  pthread_mutex_init(&jobs->mutex, NULL);
  pthread_cond_init(&jobs->wake, NULL);
  atomic_init(&jobs->open, NULL);
  jobs->workers = 1;
  for (i = 1; i < kMaxWorkers && (long)i < cores; ++i) {
    worker* w = malloc(sizeof *w);
    if (w == NULL) return;
    w->jobs = jobs;
    w->index = i;
    if (pthread_create(&jobs->threads[i], NULL, worker_main, w) != 0) {
      free(w);
      return;
    }
    jobs->workers = i + 1;
  }
}

static void end_jobs(job_system* jobs) {
  uint32_t i;
  pthread_mutex_lock(&jobs->mutex);
  jobs->quit = 1;
  pthread_cond_broadcast(&jobs->wake);
  pthread_mutex_unlock(&jobs->mutex);
  for (i = 1; i < jobs->workers; ++i) pthread_join(jobs->threads[i], NULL);
  pthread_cond_destroy(&jobs->wake);
  pthread_mutex_destroy(&jobs->mutex);
}

/* ---- The game's own work: physics, animation, sound. -----------------------------------------*/
static void JUNTO_CALL be_busy(void* task, uint32_t index, uint32_t on_worker) {
  const uint64_t end = *(const uint64_t*)task;
  (void)index;
  (void)on_worker;
  while (now() < end) {
  }
}

static void play(job_system* jobs, uint64_t duration) {
  uint64_t end = now() + duration;
  parallel_for(jobs, jobs->workers, be_busy, &end);
}

/* ---- The dialogue. ---------------------------------------------------------------------------*/
static const char kScene[] =
    "You are in a play. The place: the last inn before the mountain pass, in a snowstorm. Mira, "
    "the "
    "innkeeper, is warm and curious. Bron, an old guide, is gruff and knows every path. A "
    "traveller "
    "has just come in. Speak only as the person you are asked to be, in a few sentences.";
static const char* const kNames[kCharacters] = {"Mira", "Bron"};
static const char* const kCues[kCharacters] = {
    "You are Mira, the innkeeper. Welcome the traveller and ask where he is going.",
    "You are Bron, the guide. Warn the traveller of the pass."};

typedef struct character {
  junto_session* session;
  char said[kSaid];
  size_t size;
  void* save;
  size_t save_size;
} character;

typedef struct dialogue {
  junto_runtime* runtime;
  junto_model* model;
  junto_session* scene;
  junto_batch* batch; /* both speak in the same passes */
  character characters[kCharacters];
  junto_error err;
} dialogue;

static void check(const dialogue* d, junto_status status) {
  if (status >= 0) return;
  fprintf(stderr, "game_frame: %s: %s\n", junto_status_name(status), d->err.message);
  exit(1);
}

static void add_turn(dialogue* d, junto_prompt* prompt, const char* role, const char* text) {
  check(d, junto_prompt_begin_turn(prompt, role, strlen(role), &d->err));
  check(d, junto_prompt_add_text(prompt, text, strlen(text), &d->err));
  check(d, junto_prompt_end_turn(prompt, &d->err));
}

/* The scene, followed by a cue if there is one, becomes what the session holds. */
static void hear(dialogue* d, junto_session* session, const char* cue) {
  junto_prompt* prompt = NULL;
  check(d, junto_prompt_create(d->model, &prompt, &d->err));
  add_turn(d, prompt, "system", kScene);
  if (cue != NULL) add_turn(d, prompt, "user", cue);
  check(d, junto_session_prefill(session, prompt, &d->err));
  junto_prompt_release(prompt);
}

static void enter(dialogue* d, character* c) {
  check(d, junto_session_fork(d->scene, &c->session, &d->err));
  check(d, junto_batch_add(d->batch, c->session, &d->err));
}

static junto_status JUNTO_CALL ignore(void* user, uint64_t position, const float* logits,
                                      size_t vocab) {
  (void)user, (void)position, (void)logits, (void)vocab;
  return JUNTO_OK;
}

/* While the level loads: the model, and the scene, which is read once for both. */
static void load_level(dialogue* d, job_system* jobs, const char* path) {
  junto_executor executor;
  junto_runtime_desc services;
  junto_session_desc desc;
  junto_sampling sampling;
  int i;
  memset(d, 0, sizeof *d);
  junto_error_init(&d->err, sizeof d->err);
  memset(&executor, 0, sizeof executor);
  executor.struct_size = sizeof executor;
  executor.worker_count = jobs->workers;
  executor.user = jobs;
  executor.parallel_for = parallel_for;
  junto_runtime_desc_init(&services, sizeof services);
  services.executor = &executor;
  check(d, junto_runtime_create(&services, &d->runtime, &d->err));
  check(d, junto_model_load(d->runtime, path, strlen(path), NULL, &d->model, &d->err));

  junto_session_desc_init(&desc, sizeof desc);
  desc.context_tokens = 1024;
  desc.max_forks = kCharacters;
  check(d, junto_session_create(d->model, &desc, &d->scene, &d->err));
  junto_sampling_init(&sampling, sizeof sampling);
  sampling.temperature = 0.7f;
  sampling.top_k = 40;
  sampling.seed = 60;
  sampling.max_new_tokens = 80;
  check(d, junto_session_set_sampling(d->scene, &sampling, &d->err));
  hear(d, d->scene, NULL);
  check(d, junto_session_evaluate(d->scene, ignore, NULL, &d->err));

  check(d, junto_batch_create(d->model, kCharacters, 0, &d->batch, &d->err));
  for (i = 0; i < kCharacters; ++i) {
    enter(d, &d->characters[i]);
    hear(d, d->characters[i].session, kCues[i]);
  }
}

static void leave(dialogue* d, character* c) {
  check(d, junto_batch_remove(d->batch, c->session, &d->err));
  junto_session_release(c->session);
  c->session = NULL;
}

static void unload_level(dialogue* d) {
  int i;
  for (i = 0; i < kCharacters; ++i) {
    leave(d, &d->characters[i]);
    free(d->characters[i].save);
  }
  junto_batch_release(d->batch);
  junto_session_release(d->scene);
  junto_model_release(d->model);
  junto_runtime_release(d->runtime);
}

/* A frame's share. Text is fetched, not called back with. */
static junto_status speak(dialogue* d, uint64_t budget) {
  const junto_status status = junto_batch_step(d->batch, budget, NULL, NULL, &d->err);
  int i;
  check(d, status);
  for (i = 0; i < kCharacters; ++i) {
    character* c = &d->characters[i];
    size_t size = 0;
    if (junto_session_read(c->session, c->said + c->size, kSaid - c->size, &size) == JUNTO_OK) {
      c->size += size;
    }
  }
  return status;
}

static void save_game(dialogue* d) {
  int i;
  for (i = 0; i < kCharacters; ++i) {
    character* c = &d->characters[i];
    check(d, junto_session_snapshot(c->session, NULL, 0, &c->save_size, &d->err));
    c->save = realloc(c->save, c->save_size);
    if (c->save == NULL) exit(1);
    check(d, junto_session_snapshot(c->session, c->save, c->save_size, &c->save_size, &d->err));
  }
}

/* The characters that there were are gone; new ones go on in the middle of a word. */
static void load_game(dialogue* d) {
  int i;
  for (i = 0; i < kCharacters; ++i) leave(d, &d->characters[i]);
  for (i = 0; i < kCharacters; ++i) {
    character* c = &d->characters[i];
    enter(d, c);
    check(d, junto_session_restore(c->session, c->save, c->save_size, &d->err));
  }
}

/* ---- The account. ----------------------------------------------------------------------------*/
static int ascending(const void* a, const void* b) {
  const uint64_t x = *(const uint64_t*)a, y = *(const uint64_t*)b;
  return x < y ? -1 : x > y;
}

/* Ten rows of a fraction of a millisecond each, up to limit; one for what is longer. */
static void histogram(const char* title, uint64_t* times, int count, uint64_t limit) {
  const uint64_t step = limit / 10;
  int row, i = 0;
  qsort(times, (size_t)count, sizeof *times, ascending);
  printf("\n%s: median %.2f ms, p99 %.2f ms, longest %.2f ms\n", title,
         (double)times[count / 2] / 1e6, (double)times[count * 99 / 100] / 1e6,
         (double)times[count - 1] / 1e6);
  for (row = 0; row <= 10; ++row) {
    const int first = i;
    int mark;
    while (i < count && (row == 10 || times[i] < step * (uint64_t)(row + 1))) ++i;
    if (row < 10) {
      printf("  < %4.1f ms", (double)step * (row + 1) / 1e6);
    } else {
      printf("  longer   ");
    }
    printf("%6d ", i - first);
    for (mark = 0; mark * count < (i - first) * 50; ++mark) putchar('#');
    putchar('\n');
  }
}

static void sleep_until(uint64_t time) {
  struct timespec t;
  t.tv_sec = (time_t)(time / 1000000000);
  t.tv_nsec = (long)(time % 1000000000);
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

int main(int argc, char** argv) {
  const char* path = "models/SmolLM2-135M-Instruct.Q4_1.gguf";
  int frames = 600, frame, late = 0, i;
  uint64_t *frame_times, *slice_times, saved = 0;
  job_system jobs;
  static dialogue d;

  for (i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--frames") == 0 && i + 1 < argc) {
      frames = atoi(argv[++i]);
    } else {
      path = argv[i];
    }
  }
  if (frames < 2 || frames > 1000000 || *path == '-') {
    return fprintf(stderr, "usage: game_frame [MODEL.gguf] [--frames N]\n"), 2;
  }
  frame_times = calloc((size_t)frames, sizeof *frame_times);
  slice_times = calloc((size_t)frames, sizeof *slice_times);
  if (frame_times == NULL || slice_times == NULL) return 1;

  start_jobs(&jobs);
  load_level(&d, &jobs, path);
  for (frame = 0; frame < frames; ++frame) {
    const uint64_t start = now();
    play(&jobs, 12 * kMillisecond);
    slice_times[frame] = now();
    speak(&d, 2 * kMillisecond);
    slice_times[frame] = now() - slice_times[frame];
    frame_times[frame] = now() - start;
    late += frame_times[frame] > kFrame;
    if (frame == frames / 2) { /* the world stands still for that, as in games it does */
      save_game(&d);
      load_game(&d);
      saved = d.characters[0].save_size + d.characters[1].save_size;
    }
    sleep_until(start + kFrame);
  }
  while (speak(&d, UINT64_MAX) != JUNTO_DONE) { /* the curtain falls when they have ended */
  }

  for (i = 0; i < kCharacters; ++i) {
    const character* c = &d.characters[i];
    printf("%s: %.*s\n", kNames[i], (int)c->size, c->said);
  }
  printf("\n%d frames, %d later than 16.67 ms; saved and loaded at frame %d: %.1f KiB\n", frames,
         late, frames / 2, (double)saved / 1024);
  histogram("frames", frame_times, frames, 20 * kMillisecond);
  histogram("dialogue", slice_times, frames, 4 * kMillisecond);
  unload_level(&d);
  end_jobs(&jobs);
  free(frame_times);
  free(slice_times);
  return 0;
}
