/* Whether a library that is opened from now on would find a symbol without naming who has it (test/binding/good-guest.test.ts). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <node_api.h>

static napi_value is_global(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value name, found;
  char text[256];
  if (napi_get_cb_info(env, info, &count, &name, NULL, NULL) != napi_ok ||
      napi_get_value_string_utf8(env, name, text, sizeof text, NULL) != napi_ok ||
      napi_get_boolean(env, dlsym(RTLD_DEFAULT, text) != NULL, &found) != napi_ok)
    return NULL;
  return found;
}

NAPI_MODULE_INIT() {
  napi_value function;
  if (napi_create_function(env, "isGlobal", NAPI_AUTO_LENGTH, is_global, NULL, &function) != napi_ok) return NULL;
  return napi_set_named_property(env, exports, "isGlobal", function) == napi_ok ? exports : NULL;
}
