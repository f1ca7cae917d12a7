;; no_room: hostel_alloc has no room for any message.
(module
  (memory (export "memory") 1)
  (func (export "hostel_alloc") (param $size i32) (result i32)
    (i32.const 0))
  (func (export "hostel_handle") (param $at i32) (param $size i32) (result i64)
    unreachable))
