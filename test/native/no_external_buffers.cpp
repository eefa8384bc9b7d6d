// What Electron answers: memory outside of V8's own cage cannot be an ArrayBuffer. Linked into a copy
// of the core, where it stands for Node's function: N-API's header would make it visible, and then
// the program's own would be taken.
extern "C" __attribute__((visibility("hidden"))) int napi_create_external_arraybuffer() {
  return 22;  // napi_no_external_buffers_allowed
}
