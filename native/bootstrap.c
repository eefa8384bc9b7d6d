/* The only .node file: it knows nothing of LibTorch, so `require` never fails for want of it. The loader (lib/binding/load.ts) finds
 * the libraries, compares versions and explains what is missing; this file opens what it is told to open, and then the core. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef __APPLE__
#include <mach-o/dyld.h>
#else
#include <link.h>
#endif

#ifndef ASTGNN_LIBTORCH_VERSION
#error "ASTGNN_LIBTORCH_VERSION is set by CMakeLists.txt"
#endif

typedef napi_value (*core_init)(napi_env env, napi_value exports);

/* native/binding/table.cpp */
napi_value astgnn_define_table(napi_env env, napi_value exports);

static napi_value fail(napi_env env, const char* message) {
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_throw_error(env, NULL, message);
  return NULL;
}

/* A copy of a JS string, to be freed; NULL where the value is not a string. */
static char* copy_string(napi_env env, napi_value value) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return NULL;
  char* text = malloc(length + 1);
  if (text != NULL && napi_get_value_string_utf8(env, value, text, length + 1, &length) != napi_ok) {
    free(text);
    return NULL;
  }
  return text;
}

static void* open_library(napi_env env, napi_value path, int flags, const char* expected) {
  char* text = copy_string(env, path);
  if (text == NULL) return fail(env, expected);
  /* NODELETE: LibTorch leaves thread-local destructors and registrations behind that must outlive any environment. */
  void* handle = dlopen(text, RTLD_NOW | RTLD_NODELETE | flags);
  free(text);
  if (handle == NULL) {
    const char* reason = dlerror();
    fail(env, reason == NULL ? "dlopen failed without a reason" : reason);
  }
  return handle;
}

/* libgomp reads its settings once, when it is opened. By default its threads spin for milliseconds at the end of every parallel region:
   on a machine that is busy with anything else they wait for each other's time slices (measured: a step on two threads, beside two other
   busy processes, 59 ms spinning, 23 ms so). With a tenth of this count a step of 300 stocks took 15 ms for 12 on quiet cores, and on busy
   ones the same. True where the variable has to be taken away again: it is not for the programs that this process starts. */
static bool spin_briefly(void) {
#ifndef _WIN32
  if (getenv("OMP_WAIT_POLICY") == NULL && getenv("GOMP_SPINCOUNT") == NULL) return setenv("GOMP_SPINCOUNT", "10000", 0) == 0;
#endif
  return false;
}

static void spin_as_before(bool briefly) {
#ifndef _WIN32
  if (briefly) unsetenv("GOMP_SPINCOUNT");
#endif
}

/* open(paths: string[], global?: boolean): opens libraries in this order. Each finds what it names as needed among those that are open.
   Global: everything that is opened later finds their symbols too, whatever it names. */
static napi_value open_libraries(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok) return NULL;
  bool is_array = false;
  bool global = false;
  if (napi_is_array(env, arguments[0], &is_array) != napi_ok || !is_array || (count > 1 && napi_get_value_bool(env, arguments[1], &global) != napi_ok)) {
    return fail(env, "open expects (paths: string[], global?: boolean)");
  }
  uint32_t length = 0;
  napi_get_array_length(env, arguments[0], &length);
  const bool briefly = spin_briefly();
  for (uint32_t i = 0; i < length; i++) {
    napi_value path;
    if (napi_get_element(env, arguments[0], i, &path) != napi_ok) break;
    if (open_library(env, path, global ? RTLD_GLOBAL : RTLD_LOCAL, "open expects every path to be a string") == NULL) break;
  }
  spin_as_before(briefly);
  return NULL;
}

/* What openAway opens: the paths, and why it failed. */
struct opening {
  napi_async_work work;
  napi_deferred deferred;
  char** paths;
  uint32_t count;
  char* reason;
  bool briefly;
};

static void free_opening(struct opening* opening) {
  for (uint32_t i = 0; opening->paths != NULL && i < opening->count; i++) free(opening->paths[i]);
  free(opening->paths);
  free(opening->reason);
  free(opening);
}

static void open_away(napi_env env, void* data) {
  (void)env;
  struct opening* opening = data;
  for (uint32_t i = 0; i < opening->count && opening->reason == NULL; i++) {
    if (dlopen(opening->paths[i], RTLD_NOW | RTLD_NODELETE | RTLD_LOCAL) != NULL) continue;
    const char* reason = dlerror();
    opening->reason = strdup(reason == NULL ? "dlopen failed without a reason" : reason);
  }
}

static void opened_away(napi_env env, napi_status status, void* data) {
  struct opening* opening = data;
  spin_as_before(opening->briefly);
  napi_value result;
  if (status == napi_ok && opening->reason == NULL) {
    if (napi_get_undefined(env, &result) == napi_ok) napi_resolve_deferred(env, opening->deferred, result);
  } else {
    napi_value message;
    const char* reason = opening->reason == NULL ? "the environment is being torn down" : opening->reason;
    if (napi_create_string_utf8(env, reason, NAPI_AUTO_LENGTH, &message) == napi_ok && napi_create_error(env, NULL, message, &result) == napi_ok)
      napi_reject_deferred(env, opening->deferred, result);
  }
  napi_delete_async_work(env, opening->work);
  free_opening(opening);
}

/* openAway(paths: string[]): Promise<void>, opens libraries as open does, on a thread of libuv's: LibTorch takes a sixth of a second. */
static napi_value open_libraries_away(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value array;
  bool is_array = false;
  if (napi_get_cb_info(env, info, &count, &array, NULL, NULL) != napi_ok) return NULL;
  if (napi_is_array(env, array, &is_array) != napi_ok || !is_array) return fail(env, "openAway expects (paths: string[])");
  struct opening* opening = calloc(1, sizeof *opening);
  if (opening == NULL) return fail(env, "out of memory");
  napi_get_array_length(env, array, &opening->count);
  opening->paths = calloc(opening->count + 1, sizeof *opening->paths);
  bool is_whole = opening->paths != NULL;
  for (uint32_t i = 0; is_whole && i < opening->count; i++) {
    napi_value path;
    is_whole = napi_get_element(env, array, i, &path) == napi_ok && (opening->paths[i] = copy_string(env, path)) != NULL;
  }
  napi_value name;
  napi_value promise;
  if (!is_whole || napi_create_string_utf8(env, "astgnn", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, NULL, name, open_away, opened_away, opening, &opening->work) != napi_ok) {
    free_opening(opening);
    return fail(env, "openAway expects every path to be a string");
  }
  if (napi_create_promise(env, &opening->deferred, &promise) != napi_ok) {
    napi_delete_async_work(env, opening->work);
    free_opening(opening);
    return NULL;
  }
  opening->briefly = spin_briefly();
  if (napi_queue_async_work(env, opening->work) == napi_ok) return promise;
  spin_as_before(opening->briefly);
  napi_delete_async_work(env, opening->work);
  free_opening(opening);
  return fail(env, "the libraries could not be opened on another thread");
}

/* load(core: string): the core's exports, made anew for the calling environment. */
static napi_value load(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value path;
  if (napi_get_cb_info(env, info, &count, &path, NULL, NULL) != napi_ok) return NULL;
  void* core = open_library(env, path, RTLD_LOCAL, "load expects (core: string)");
  if (core == NULL) return NULL;
  core_init init = (core_init)dlsym(core, "astgnn_init");
  if (init == NULL) return fail(env, "the core exports no astgnn_init: it is not a build of this package");
  napi_value exports;
  if (napi_create_object(env, &exports) != napi_ok) return NULL;
  return init(env, exports);
}

/* cudaFailure(): string | undefined, why the CUDA runtime among the globally opened libraries finds no GPU, in its own words: no driver,
   one that is too old, no device to be seen. It opens without any of them. */
static napi_value cuda_failure(napi_env env, napi_callback_info info) {
  (void)info;
  int (*count_devices)(int*) = (int (*)(int*))dlsym(RTLD_DEFAULT, "cudaGetDeviceCount");
  const char* (*describe)(int) = (const char* (*)(int))dlsym(RTLD_DEFAULT, "cudaGetErrorString");
  if (count_devices == NULL || describe == NULL) return fail(env, "no CUDA runtime is open");
  int count = 0;
  const int error = count_devices(&count);
  if (error == 0) return NULL;
  napi_value text;
  return napi_create_string_utf8(env, describe(error), NAPI_AUTO_LENGTH, &text) == napi_ok ? text : NULL;
}

/* cudaLacksCode(): string | undefined, why one of the GPUs runs none of the code in the CUDA half of the core, where that is open. */
static napi_value cuda_lacks_code(napi_env env, napi_callback_info info) {
  (void)info;
  const char* (*lacks_code)(void) = (const char* (*)(void))dlsym(RTLD_DEFAULT, "astgnn_cuda_lacks_code");
  const char* why = lacks_code == NULL ? NULL : lacks_code();
  if (why == NULL) return NULL;
  napi_value text;
  return napi_create_string_utf8(env, why, NAPI_AUTO_LENGTH, &text) == napi_ok ? text : NULL;
}

struct found {
  napi_env env;
  napi_value paths;
  uint32_t count;
};

static void note_if_libtorch(struct found* found, const char* path) {
  if (path == NULL || (strstr(path, "libtorch_cpu.") == NULL && strstr(path, "libtorch_cuda.") == NULL)) return;
  napi_value text;
  if (napi_create_string_utf8(found->env, path, NAPI_AUTO_LENGTH, &text) != napi_ok) return;
  if (napi_set_element(found->env, found->paths, found->count, text) == napi_ok) found->count++;
}

#ifndef __APPLE__
static int visit_library(struct dl_phdr_info* library, size_t size, void* data) {
  (void)size;
  note_if_libtorch(data, library->dlpi_name);
  return 0;
}
#endif

/* loadedLibTorch(): string[], the libtorch_cpu and libtorch_cuda files in this process, whoever opened them. */
static napi_value loaded_libtorch(napi_env env, napi_callback_info info) {
  (void)info;
  struct found found = {env, NULL, 0};
  if (napi_create_array(env, &found.paths) != napi_ok) return NULL;
#ifdef __APPLE__
  for (uint32_t i = 0; i < _dyld_image_count(); i++) note_if_libtorch(&found, _dyld_get_image_name(i));
#else
  dl_iterate_phdr(visit_library, &found);
#endif
  return found.paths;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_value version;
  napi_value table;
  if (napi_create_function(env, "open", NAPI_AUTO_LENGTH, open_libraries, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "open", function) != napi_ok ||
      napi_create_function(env, "openAway", NAPI_AUTO_LENGTH, open_libraries_away, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "openAway", function) != napi_ok ||
      napi_create_function(env, "load", NAPI_AUTO_LENGTH, load, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "load", function) != napi_ok ||
      napi_create_function(env, "cudaFailure", NAPI_AUTO_LENGTH, cuda_failure, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "cudaFailure", function) != napi_ok ||
      napi_create_function(env, "cudaLacksCode", NAPI_AUTO_LENGTH, cuda_lacks_code, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "cudaLacksCode", function) != napi_ok ||
      napi_create_function(env, "loadedLibTorch", NAPI_AUTO_LENGTH, loaded_libtorch, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "loadedLibTorch", function) != napi_ok ||
      napi_create_string_utf8(env, ASTGNN_LIBTORCH_VERSION, NAPI_AUTO_LENGTH, &version) != napi_ok ||
      napi_set_named_property(env, exports, "libtorchVersion", version) != napi_ok ||
      napi_create_object(env, &table) != napi_ok || astgnn_define_table(env, table) == NULL ||
      napi_set_named_property(env, exports, "table", table) != napi_ok) {
    return fail(env, "the bootstrap could not register its functions");
  }
  return exports;
}
