// The torch-free half's exports: long tables on their way to the grid, and the checks of a grid. What
// takes time runs on a thread of libuv's, in pieces that JavaScript asks for one after the other.
#include "binding/table.h"

// Sets the functions on the bootstrap's exports.
extern "C" napi_value astgnn_define_table(napi_env env, napi_value exports) {
  using namespace astgnn::binding;
  try {
    const Napi::Object object(env, exports);
    define_reading(object);
    define_rows(object);
    define_checks(object);
    return exports;
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
    return nullptr;
  }
}
