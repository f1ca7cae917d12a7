;; spin: never answers. The host must stop it at its CPU budget, and its neighbours must not notice.
(module
  (memory (export "memory") 1 1)
  (func (export "hostel_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "hostel_handle") (param i32 i32) (result i64)
    (loop $again (br $again))
    (i64.const 0)))
