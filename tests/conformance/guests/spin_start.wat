;; spin_start: computes for ever in its start function.
(module
  (memory (export "memory") 1)
  (func $start (loop $on (br $on)))
  (start $start)
  (func (export "hostel_alloc") (param $size i32) (result i32)
    (i32.const 4096))
  (func (export "hostel_handle") (param $at i32) (param $size i32) (result i64)
    unreachable))
