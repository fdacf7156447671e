// Calls a compiled graph for one time after another, as `PythonScan` (scan.py) does, with no Python between the calls.
//
// Shards are run by torch's own threads (its OpenMP), so that they do not compete with torch's threads for cores.
//
// Ownership: a Tensor is a handle of torch's C interface for compiled code, which owns one reference. A graph takes
// over the handles that it is called with, and hands over those that it returns. Each handle below is owned by one
// array or one variable at a time; native_scan.py says who frees the arrays.

#include <Python.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

using Tensor = AtenTensorHandle;
using Graph = void (*)(Tensor* inputs, Tensor* outputs);

// SAVED: a handle of a table, which stays there. FREED: the same, but moved out of the table. PER_STEP: a row of one
// tensor of all times. CARRY: a handle that is moved out of the carry, until an output moves another one in.
enum Kind : int64_t { SAVED, FREED, PER_STEP, CARRY };

// Where an input comes from.
struct Input {
  int64_t kind;
  Tensor* tensors;  // the handle at time 0
  int64_t step;     // SAVED, FREED: how many handles further that of the next time is
};

// Where an output is written, in as many ways as are not null.
struct Output {
  char* stacked;           // copied to: the row of time 0
  int64_t bytes, stride;   // length of a row, and distance from one row to the next
  Tensor* saved;           // a handle of a table, at time 0
  int64_t step;            // how many handles further that of the next time is
  Tensor* carry;
};

struct Shard {
  Input* inputs;
  Output* outputs;
};

static void check(AOTITorchError error) {
  if (error) throw std::runtime_error("torch refused a tensor of a compiled step");
}

// One more handle of the same tensor.
static Tensor new_handle(Tensor tensor) {
  Tensor handle;
  check(aoti_torch_new_tensor_handle(tensor, &handle));
  return handle;
}

// A view of one row; no numbers are copied.
static Tensor row(Tensor tensor, int64_t time) {
  int64_t dimensions, *sizes, *strides;
  check(aoti_torch_get_dim(tensor, &dimensions));
  check(aoti_torch_get_sizes(tensor, &sizes));
  check(aoti_torch_get_strides(tensor, &strides));
  Tensor view;
  check(aoti_torch__reinterpret_tensor(tensor, dimensions - 1, sizes + 1, strides + 1, time * strides[0], &view));
  return view;
}

// A place is empty where an earlier backward pass has freed its tensors: an error, not a crash.
static Tensor not_freed(Tensor tensor) {
  if (!tensor) throw std::runtime_error("a saved tensor of a step has been freed already");
  return tensor;
}

// A handle that the caller owns. A carry is moved, not shared, so that a graph that is its last owner frees its memory
// as soon as it has read it, not at the end of the call.
static Tensor read(const Input& input, int64_t time) {
  switch (input.kind) {
    case SAVED: return new_handle(not_freed(input.tensors[time * input.step]));
    case FREED: return not_freed(std::exchange(input.tensors[time * input.step], nullptr));
    case PER_STEP: return row(*input.tensors, time);
    default: return std::exchange(*input.tensors, nullptr);
  }
}

// Takes the handle over. The place is not empty where the graph has no input for this carry, or where a table is filled
// again.
static void put(Tensor* place, Tensor tensor) {
  if (*place) check(aoti_torch_delete_tensor_object(*place));
  *place = tensor;
}

// Takes the handle over.
static void write(const Output& output, int64_t time, Tensor tensor) {
  if (output.stacked) {
    void* numbers;
    check(aoti_torch_get_data_ptr(tensor, &numbers));
    std::memcpy(output.stacked + time * output.stride, numbers, output.bytes);
  }
  if (output.saved) put(output.saved + time * output.step, new_handle(tensor));
  if (output.carry)
    put(output.carry, tensor);
  else
    check(aoti_torch_delete_tensor_object(tensor));
}

static void scan_shard(Graph graph, int64_t start, int64_t stop, int64_t step, const Shard& shard, int64_t input_count,
                       int64_t output_count) {
  std::vector<Tensor> inputs(input_count), outputs(output_count);
  for (int64_t time = start; time != stop; time += step) {
    for (int64_t i = 0; i < input_count; i++) inputs[i] = read(shard.inputs[i], time);
    graph(inputs.data(), outputs.data());
    // A graph that returns a tensor twice returns one handle twice. Each output is freed on its own, so that all but
    // the first need a handle of their own.
    for (int64_t i = 1; i < output_count; i++)
      if (std::find(outputs.begin(), outputs.begin() + i, outputs[i]) != outputs.begin() + i)
        outputs[i] = new_handle(outputs[i]);
    for (int64_t i = 0; i < output_count; i++) write(shard.outputs[i], time, outputs[i]);
  }
}

// Returns how many shards failed; `message`, of `size` bytes, receives the error of the last of them.
//
// Called without Python's lock (the GIL): Python threads run on, and shards run at the same time. An exception must not
// leave a parallel region or a C function, so that each shard catches its own.
extern "C" int64_t scan(Graph graph, int64_t start, int64_t stop, int64_t step, Shard* shards, int64_t count,
                        int64_t input_count, int64_t output_count, char* message, int64_t size) {
  int64_t failed = 0;
  auto run = [&](int64_t number) {
    // A graph begins by releasing the lock and ends by taking it again, so that it has to be called with the lock. What
    // is between the calls of a graph is short, and what is shared by shards (`message`, `failed`, reference counts of
    // Python objects) is safe with it.
    auto lock = PyGILState_Ensure();
    try {
      scan_shard(graph, start, stop, step, shards[number], input_count, output_count);
    } catch (const std::exception& error) {
      std::snprintf(message, size, "%s", error.what());
      failed++;
    }
    PyGILState_Release(lock);
  };
  if (count == 1) {
    run(0);  // outside of a parallel region: in one, the loops of the graph itself would get no other thread
  } else {
#pragma omp parallel for schedule(static)
    for (int64_t number = 0; number < count; number++) run(number);
  }
  return failed;
}

// Frees the handles of an array; called when Python frees the array.
extern "C" void release(Tensor* tensors, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (tensors[i]) aoti_torch_delete_tensor_object(tensors[i]);
}
