// A compiled graph, called for one time after another: what mann/scanning.py does in Python, with no Python in between.
//
// Lanes are run by torch's own threads, so that what a lane runs shares no core with torch's threads. Tensors are
// handles of torch's C interface for compiled code; a graph frees those that it is given.

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

enum Kind : int64_t { NOTED, TAKEN, ROW, CARRIED };

// Where an input comes from.
struct Source {
  int64_t kind;
  // NOTED and TAKEN: at every `step`, from that of time 0; ROW: one, of all times; CARRIED: one. TAKEN and CARRIED are
  // not there afterwards.
  Tensor* tensors;
  int64_t step;
};

// Where an output goes to, in as many ways as are not null.
struct Sink {
  char* row;  // a copy: where that of time 0 goes to; `bytes` long, `stride` from one time to the next
  int64_t bytes, stride;
  Tensor* noted;  // at every `step`, from that of time 0
  int64_t step;
  Tensor* carried;
};

struct Lane {
  Source* sources;
  Sink* sinks;
};

static void check(AOTITorchError error) {
  if (error) throw std::runtime_error("torch refused a tensor of a compiled step");
}

static Tensor another(Tensor tensor) {
  Tensor handle;
  check(aoti_torch_new_tensor_handle(tensor, &handle));
  return handle;
}

static Tensor row(Tensor tensor, int64_t time) {
  int64_t dimensions, *sizes, *strides;
  check(aoti_torch_get_dim(tensor, &dimensions));
  check(aoti_torch_get_sizes(tensor, &sizes));
  check(aoti_torch_get_strides(tensor, &strides));
  Tensor view;
  check(aoti_torch__reinterpret_tensor(tensor, dimensions - 1, sizes + 1, strides + 1, time * strides[0], &view));
  return view;
}

static Tensor kept(Tensor tensor) {
  if (!tensor) throw std::runtime_error("what a step needs is not kept any more");
  return tensor;
}

static Tensor given(const Source& source, int64_t time) {
  switch (source.kind) {
    case NOTED: return another(kept(source.tensors[time * source.step]));
    case TAKEN: return kept(std::exchange(source.tensors[time * source.step], nullptr));
    case ROW: return row(*source.tensors, time);
    default: return std::exchange(*source.tensors, nullptr);
  }
}

static void put(Tensor* place, Tensor tensor) {
  if (*place) check(aoti_torch_delete_tensor_object(*place));
  *place = tensor;
}

static void taken(const Sink& sink, int64_t time, Tensor tensor) {
  if (sink.row) {
    void* numbers;
    check(aoti_torch_get_data_ptr(tensor, &numbers));
    std::memcpy(sink.row + time * sink.stride, numbers, sink.bytes);
  }
  if (sink.noted) put(sink.noted + time * sink.step, another(tensor));
  if (sink.carried)
    put(sink.carried, tensor);
  else
    check(aoti_torch_delete_tensor_object(tensor));
}

static void run(Graph graph, int64_t start, int64_t stop, int64_t step, const Lane& lane, int64_t sources, int64_t sinks) {
  std::vector<Tensor> inputs(sources), outputs(sinks);
  for (int64_t time = start; time != stop; time += step) {
    for (int64_t i = 0; i < sources; i++) inputs[i] = given(lane.sources[i], time);
    graph(inputs.data(), outputs.data());
    // What a graph returns twice it returns as one handle.
    for (int64_t i = 1; i < sinks; i++)
      if (std::find(outputs.begin(), outputs.begin() + i, outputs[i]) != outputs.begin() + i) outputs[i] = another(outputs[i]);
    for (int64_t i = 0; i < sinks; i++) taken(lane.sinks[i], time, outputs[i]);
  }
}

// Called without Python's lock. Returns how many lanes failed; `message` says why the last of them did.
extern "C" int64_t scan(Graph graph, int64_t start, int64_t stop, int64_t step, Lane* lanes, int64_t count, int64_t sources,
                        int64_t sinks, char* message, int64_t size) {
  int64_t failed = 0;
  auto lane = [&](int64_t number) {
    // A graph lets go of the lock, and takes it again at its end.
    auto lock = PyGILState_Ensure();
    try {
      run(graph, start, stop, step, lanes[number], sources, sinks);
    } catch (const std::exception& error) {
      std::snprintf(message, size, "%s", error.what());
      failed++;
    }
    PyGILState_Release(lock);
  };
  if (count == 1) {
    lane(0);  // a thread that is one of several would leave what it calls no other
  } else {
#pragma omp parallel for schedule(static)
    for (int64_t number = 0; number < count; number++) lane(number);
  }
  return failed;
}

extern "C" void release(Tensor* tensors, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (tensors[i]) aoti_torch_delete_tensor_object(tensors[i]);
}
