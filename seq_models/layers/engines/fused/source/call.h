// One call of an operation: what TensorFlow's C interface, whose binary form is stable, hands over and takes.
#pragma once
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"
#include "tensorflow/c/tf_datatype.h"
#include "tensorflow/c/tf_status.h"
#include "tensorflow/c/tf_tensor.h"

namespace seq_models {

class Call {
 public:
  explicit Call(TF_OpKernelContext* context) : context_(context), status_(TF_NewStatus()) {}
  ~Call() {
    for (TF_Tensor* tensor : held_) TF_DeleteTensor(tensor);
    TF_DeleteStatus(status_);
  }

  // The shape of an input, which must have so many axes.
  std::vector<int64_t> shape(int index, int axes) {
    TF_Tensor* tensor = get(index);
    std::vector<int64_t> dims(TF_NumDims(tensor));
    for (size_t i = 0; i < dims.size(); ++i) dims[i] = TF_Dim(tensor, i);
    TF_DeleteTensor(tensor);
    if (static_cast<int>(dims.size()) != axes)
      fail("input " + std::to_string(index) + " must have rank " + std::to_string(axes));
    return dims;
  }
  // The numbers of an input, which must be of this shape.
  template <class T = float>
  const T* in(int index, std::initializer_list<int64_t> shape) {
    if (this->shape(index, static_cast<int>(shape.size())) != std::vector<int64_t>(shape))
      fail("input " + std::to_string(index) + " must have another shape");
    held_.push_back(get(index));
    return static_cast<const T*>(TF_TensorData(held_.back()));
  }
  // The same, or null for an input without any number.
  template <class T = float>
  const T* in_or_null(int index, std::initializer_list<int64_t> shape) {
    TF_Tensor* tensor = get(index);
    const bool none = TF_TensorElementCount(tensor) == 0;
    TF_DeleteTensor(tensor);
    return none ? nullptr : in<T>(index, shape);
  }

  float* out(int index, std::initializer_list<int64_t> shape) {
    size_t bytes = sizeof(float);
    for (int64_t size : shape) bytes *= size;
    return hold(TF_AllocateOutput(context_, index, TF_FLOAT, shape.begin(), static_cast<int>(shape.size()), bytes, status_));
  }
  // An output in the place of an input that nobody else needs, if there is such a place. To be called before `in`.
  float* out_in_place(int index, int input, std::initializer_list<int64_t> shape) {
    int forwarded = -1;
    return hold(TF_ForwardInputOrAllocateOutput(context_, &input, 1, index, shape.begin(),
                                                static_cast<int>(shape.size()), &forwarded, status_));
  }

 private:
  TF_Tensor* get(int index) {
    TF_Tensor* tensor = nullptr;
    TF_GetInput(context_, index, &tensor, status_);
    check();
    return tensor;
  }
  float* hold(TF_Tensor* tensor) {
    check();
    held_.push_back(tensor);
    return static_cast<float*>(TF_TensorData(tensor));
  }
  void check() {
    if (TF_GetCode(status_) != TF_OK) fail(TF_Message(status_));
  }
  [[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

  TF_OpKernelContext* context_;
  TF_Status* status_;
  std::vector<TF_Tensor*> held_;
};

// The options of an operation, read once.
struct Options {
  bool backwards = false, training = false, whole = false;
};

inline void* read_options(TF_OpKernelConstruction* construction) {
  auto* options = new Options;
  TF_Status* status = TF_NewStatus();
  for (auto [name, value] : {std::pair{"backwards", &options->backwards}, std::pair{"training", &options->training},
                             std::pair{"whole", &options->whole}}) {
    unsigned char read = 0;
    TF_OpKernelConstruction_GetAttrBool(construction, name, &read, status);
    *value = TF_GetCode(status) == TF_OK && read;  // a gradient has `backwards` only
  }
  TF_DeleteStatus(status);
  return options;
}

template <void (*F)(Call&, const Options&)>
void compute(void* options, TF_OpKernelContext* context) {
  std::string problem;
  try {
    Call call(context);
    F(call, *static_cast<Options*>(options));
    return;
  } catch (const std::exception& error) {
    problem = error.what();
  }
  TF_Status* status = TF_NewStatus();
  TF_SetStatus(status, TF_INVALID_ARGUMENT, problem.c_str());
  TF_OpKernelContext_Failure(context, status);
  TF_DeleteStatus(status);
}

// Makes an operation known with its kernel. Inputs are floats but for a last one of booleans, `mask`; outputs are floats.
template <void (*F)(Call&, const Options&)>
void register_operation(const char* name, std::initializer_list<const char*> inputs,
                        std::initializer_list<const char*> outputs, std::initializer_list<const char*> options) {
  TF_OpDefinitionBuilder* definition = TF_NewOpDefinitionBuilder(name);
  for (const char* input : inputs) TF_OpDefinitionBuilderAddInput(definition, (std::string(input) + ": float").c_str());
  TF_OpDefinitionBuilderAddInput(definition, "mask: bool");
  for (const char* output : outputs)
    TF_OpDefinitionBuilderAddOutput(definition, (std::string(output) + ": float").c_str());
  for (const char* option : options) TF_OpDefinitionBuilderAddAttr(definition, (std::string(option) + ": bool").c_str());
  TF_OpDefinitionBuilderSetShapeInferenceFunction(definition, [](TF_ShapeInferenceContext* context, TF_Status* status) {
    TF_ShapeInferenceContextSetUnknownShape(context, status);  // the caller says the shapes
  });
  TF_Status* status = TF_NewStatus();
  TF_RegisterOpDefinition(definition, status);
  TF_KernelBuilder* kernel = TF_NewKernelBuilder(name, "CPU", &read_options, &compute<F>,
                                                 [](void* options) { delete static_cast<Options*>(options); });
  TF_RegisterKernelBuilder(name, kernel, status);
  TF_DeleteStatus(status);
}

}  // namespace seq_models
