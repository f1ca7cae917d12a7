;; wasi_start: asks WASI for randomness in its start function.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $start (drop (call $random (i32.const 256) (i32.const 8))))
  (start $start)
  (func (export "hostel_alloc") (param $size i32) (result i32)
    (i32.const 4096))
  (func (export "hostel_handle") (param $at i32) (param $size i32) (result i64)
    unreachable))
