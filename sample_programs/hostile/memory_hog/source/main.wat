;; memory_hog: takes and touches every page it can get, then traps. It declares no maximum, so the limit is the host's.
(module
  (memory (export "memory") 1)
  (func (export "hostel_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "hostel_handle") (param i32 i32) (result i64) (local $page i32)
    (loop $again
      (if (i32.ne (local.tee $page (memory.grow (i32.const 1))) (i32.const -1))
        (then
          (i32.store8 (i32.shl (local.get $page) (i32.const 16)) (i32.const 1))
          (br $again))))
    (unreachable)))
