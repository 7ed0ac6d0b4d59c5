---@meta
-- Written by `perigee stubs` from the declarations.

---@alias DType
---| "float32"
---| "float64"
---| "bfloat16"
---| "int32"

---tensor options
---@class TensorOptions
---@field dtype? DType type of the elements (default "float32")
---@field requires_grad? boolean whether backward() fills grad (default false)

---random options
---@class RandomOptions
---@field seed? integer draws the same numbers every time; default: --seed or manual_seed, and the call's number (at least 0)
---@field dtype? DType float32, float64 or bfloat16 (default "float32")
---@field requires_grad? boolean whether backward() fills grad (default false)

---backward options
---@class BackwardOptions
---@field gradient? Tensor gradient of the tensor itself, of its shape; default: 1, for one element
---@field retain_graph? boolean keep the graph, for another backward() (default false)

---dropout options
---@class DropoutOptions
---@field seed? integer drops the same elements every time; default: --seed or manual_seed, and the call's number (at least 0)
---@field training? boolean false returns the tensor as it is (default true)

---cross_entropy options
---@class CrossEntropyOptions
---@field label_smoothing? number share of the label spread over all classes (from 0 to 1; default 0)

---An array of numbers with gradients. Axes and positions are 0-based, negative from the end.
---@class Tensor
---@field shape integer[] sizes of the axes
---@field dtype DType type of the elements
---@field ndim integer number of axes
---@field count integer number of elements
---@field requires_grad boolean whether backward() fills grad, or passes through; can be set on tensors that are no results
---@field grad Tensor? sum of the gradients since it was cleared, or nil; assigning nil clears it
---@field is_leaf boolean whether this is no result of an operation on tensors that require gradients
---@operator len: integer
---@operator add(Tensor|number): Tensor
---@operator sub(Tensor|number): Tensor
---@operator mul(Tensor|number): Tensor
---@operator div(Tensor|number): Tensor
---@operator pow(Tensor|number): Tensor
---@operator unm: Tensor
local Tensor = {}

---The size of an axis.
---@param dim integer axis, 0-based, negative from the end
---@return integer # its size
function Tensor:size(dim) end

---One element.
---@param ... integer one for each axis, 0-based, negative from the end
---@return number # number; an integer for int32
function Tensor:get(...) end

---Adds the gradients of this scalar to grad of the tensors that it was computed from.
---@param options? BackwardOptions see the fields
function Tensor:backward(options) end

---Forgets the gradient.
function Tensor:zero_grad() end

---Sets requires_grad.
---@param requires_grad? boolean whether gradients are wanted (default true)
---@return Tensor # the tensor itself
function Tensor:requires_grad_(requires_grad) end

---The same as requires_grad_(false); what adapters.define builds with it never trains.
---@return Tensor # the tensor itself
function Tensor:freeze() end

---The same elements outside the graph; memory is shared.
---@return Tensor # new tensor
function Tensor:detach() end

---The elements as float32.
---@return Tensor # tensor; itself if it has the type
function Tensor:float() end

---The elements as float64.
---@return Tensor # tensor; itself if it has the type
function Tensor:double() end

---The elements as bfloat16.
---@return Tensor # tensor; itself if it has the type
function Tensor:bfloat16() end

---The elements as int32.
---@return Tensor # tensor; itself if it has the type
function Tensor:int() end

---The elements in another type; to int32 they are truncated.
---@param dtype DType the type
---@return Tensor # tensor; itself if it has the type
function Tensor:to(dtype) end

---A copy with its own memory, through which gradients flow.
---@return Tensor # new tensor
function Tensor:clone() end

---The only element.
---@return number # number; an integer for int32
function Tensor:item() end

---The elements as nested lists; a scalar gives a number.
---@return any # table or number
function Tensor:tolist() end

---Adds in place.
---@param other Tensor|number broadcast to this shape
---@return Tensor # the tensor itself
function Tensor:add_(other) end

---Subtracts in place.
---@param other Tensor|number broadcast to this shape
---@return Tensor # the tensor itself
function Tensor:sub_(other) end

---Multiplies in place.
---@param other Tensor|number broadcast to this shape
---@return Tensor # the tensor itself
function Tensor:mul_(other) end

---Overwrites the elements, converting their type.
---@param source Tensor broadcast to this shape
---@return Tensor # the tensor itself
function Tensor:copy_(source) end

---Sets every element.
---@param value number the value
---@return Tensor # the tensor itself
function Tensor:fill_(value) end

---Sets every element to 0.
---@return Tensor # the tensor itself
function Tensor:zero_() end

---Writes one element.
---@param value number the value
---@param ... integer one for each axis, 0-based, negative from the end
function Tensor:set(value, ...) end

---The negative of every element.
---@return Tensor # new tensor of the same shape
function Tensor:neg() end

---The absolute value of every element.
---@return Tensor # new tensor of the same shape
function Tensor:abs() end

---e^x of every element.
---@return Tensor # new tensor of the same shape
function Tensor:exp() end

---The natural logarithm of every element.
---@return Tensor # new tensor of the same shape
function Tensor:log() end

---The square root of every element.
---@return Tensor # new tensor of the same shape
function Tensor:sqrt() end

---1 / sqrt(x) of every element.
---@return Tensor # new tensor of the same shape
function Tensor:rsqrt() end

---x * x of every element.
---@return Tensor # new tensor of the same shape
function Tensor:square() end

---The sine of every element, in radians.
---@return Tensor # new tensor of the same shape
function Tensor:sin() end

---The cosine of every element, in radians.
---@return Tensor # new tensor of the same shape
function Tensor:cos() end

----1, 0 or 1 for every element; its gradient is 0.
---@return Tensor # new tensor of the same shape
function Tensor:sign() end

---max(x, 0) of every element.
---@return Tensor # new tensor of the same shape
function Tensor:relu() end

---The hyperbolic tangent of every element.
---@return Tensor # new tensor of the same shape
function Tensor:tanh() end

---1 / (1 + e^-x) of every element.
---@return Tensor # new tensor of the same shape
function Tensor:sigmoid() end

---x * sigmoid(x) of every element.
---@return Tensor # new tensor of the same shape
function Tensor:silu() end

---x * Phi(x) of every element, with the exact normal distribution function.
---@return Tensor # new tensor of the same shape
function Tensor:gelu() end

---The approximation of gelu with tanh.
---@return Tensor # new tensor of the same shape
function Tensor:gelu_tanh() end

---1 / x of every element.
---@return Tensor # new tensor of the same shape
function Tensor:reciprocal() end

---The error function of every element.
---@return Tensor # new tensor of the same shape
function Tensor:erf() end

---The next whole number below; its gradient is 0.
---@return Tensor # new tensor of the same shape
function Tensor:floor() end

---The next whole number above; its gradient is 0.
---@return Tensor # new tensor of the same shape
function Tensor:ceil() end

---The nearest whole number, the even one of two; its gradient is 0.
---@return Tensor # new tensor of the same shape
function Tensor:round() end

---self + other; shapes are broadcast as in NumPy.
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:add(other) end

---self - other; shapes are broadcast as in NumPy.
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:sub(other) end

---self * other, element by element; shapes are broadcast as in NumPy.
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:mul(other) end

---self / other, element by element; shapes are broadcast as in NumPy.
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:div(other) end

---self ^ other, element by element; shapes are broadcast as in NumPy.
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:pow(other) end

---The larger one of two elements.
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:maximum(other) end

---The smaller one of two elements.
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:minimum(other) end

---1 where the elements are equal, else 0 (== asks whether two variables hold the same tensor).
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:eq(other) end

---1 where the elements differ, else 0.
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:ne(other) end

---1 where self < other, else 0.
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:lt(other) end

---1 where self <= other, else 0.
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:le(other) end

---1 where self > other, else 0.
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:gt(other) end

---1 where self >= other, else 0.
---@param other Tensor|number the other operand
---@return Tensor # new tensor of the broadcast shape
function Tensor:ge(other) end

---Elements below min become min, those above max become max.
---@param min? number the lower bound; nil: none
---@param max? number the upper bound; nil: none
---@return Tensor # new tensor of the same shape
function Tensor:clamp(min, max) end

---Keeps the elements where the condition is not 0, and takes the others from other.
---@param condition Tensor a comparison, such as x:gt(0)
---@param other Tensor|number what stands elsewhere
---@return Tensor # new tensor of the broadcast shape
function Tensor:where(condition, other) end

---The value where the mask is not 0.
---@param mask Tensor broadcast to this shape
---@param value number what stands there
---@return Tensor # new tensor of the same shape
function Tensor:masked_fill(mask, value) end

---The sum over axes.
---@param dim? integer|integer[] axis or axes, 0-based, negative from the end; nil: all of them
---@param keepdim? boolean keep the reduced axes with size 1 (default false)
---@return Tensor # new tensor
function Tensor:sum(dim, keepdim) end

---The mean over axes.
---@param dim? integer|integer[] axis or axes, 0-based, negative from the end; nil: all of them
---@param keepdim? boolean keep the reduced axes with size 1 (default false)
---@return Tensor # new tensor
function Tensor:mean(dim, keepdim) end

---log(sum(exp(x))) over axes, without overflow.
---@param dim? integer|integer[] axis or axes, 0-based, negative from the end; nil: all of them
---@param keepdim? boolean keep the reduced axes with size 1 (default false)
---@return Tensor # new tensor
function Tensor:logsumexp(dim, keepdim) end

---The variance over axes.
---@param dim? integer|integer[] axis or axes, 0-based, negative from the end; nil: all of them
---@param keepdim? boolean keep the reduced axes with size 1 (default false)
---@param unbiased? boolean divide by n - 1 instead of n (default true)
---@return Tensor # new tensor
function Tensor:var(dim, keepdim, unbiased) end

---The standard deviation over axes.
---@param dim? integer|integer[] axis or axes, 0-based, negative from the end; nil: all of them
---@param keepdim? boolean keep the reduced axes with size 1 (default false)
---@param unbiased? boolean divide by n - 1 instead of n (default true)
---@return Tensor # new tensor
function Tensor:std(dim, keepdim, unbiased) end

---(sum |x|^p)^(1/p) over axes; for p = math.huge the largest absolute value.
---@param p? number which norm; 2 is the Euclidean one (at least 0; default 2)
---@param dim? integer|integer[] axis or axes, 0-based, negative from the end; nil: all of them
---@param keepdim? boolean keep the reduced axes with size 1 (default false)
---@return Tensor # new tensor
function Tensor:norm(p, dim, keepdim) end

---The largest value: of all elements, or along an axis with its positions.
---@param dim? integer axis, 0-based, negative from the end; nil: all elements
---@param keepdim? boolean keep the reduced axes with size 1 (default false)
---@return Tensor, Tensor # values; with dim also their positions (int32, 0-based)
function Tensor:max(dim, keepdim) end

---The smallest value: of all elements, or along an axis with its positions.
---@param dim? integer axis, 0-based, negative from the end; nil: all elements
---@param keepdim? boolean keep the reduced axes with size 1 (default false)
---@return Tensor, Tensor # values; with dim also their positions (int32, 0-based)
function Tensor:min(dim, keepdim) end

---The position of the largest value, the first one of equal ones.
---@param dim? integer axis, 0-based, negative from the end; nil: all elements
---@param keepdim? boolean keep the reduced axes with size 1 (default false)
---@return Tensor # int32 tensor of 0-based positions
function Tensor:argmax(dim, keepdim) end

---The position of the smallest value, the first one of equal ones.
---@param dim? integer axis, 0-based, negative from the end; nil: all elements
---@param keepdim? boolean keep the reduced axes with size 1 (default false)
---@return Tensor # int32 tensor of 0-based positions
function Tensor:argmin(dim, keepdim) end

---Running sums along an axis.
---@param dim integer axis, 0-based, negative from the end
---@return Tensor # new tensor of the same shape
function Tensor:cumsum(dim) end

---exp(x) / sum(exp(x)) along an axis.
---@param dim? integer axis, 0-based, negative from the end (default -1)
---@return Tensor # new tensor of the same shape
function Tensor:softmax(dim) end

---x - log(sum(exp(x))) along an axis.
---@param dim? integer axis, 0-based, negative from the end (default -1)
---@return Tensor # new tensor of the same shape
function Tensor:log_softmax(dim) end

---The same elements with another shape; memory is shared.
---@param ... integer|integer[] the new sizes, as integers or one list; one may be -1: what is left over
---@return Tensor # new tensor
function Tensor:reshape(...) end

---The same as reshape.
---@param ... integer|integer[] the new sizes, as integers or one list; one may be -1: what is left over
---@return Tensor # new tensor
function Tensor:view(...) end

---The axes from the first to the last of these as one.
---@param start_dim? integer first axis, 0-based (default 0)
---@param end_dim? integer last axis, 0-based (default -1)
---@return Tensor # new tensor
function Tensor:flatten(start_dim, end_dim) end

---A new axis of size 1.
---@param dim integer where it stands in the result, 0-based, negative from the end
---@return Tensor # new tensor
function Tensor:unsqueeze(dim) end

---Without axes of size 1.
---@param dim? integer which one, 0-based; nil: all of them
---@return Tensor # new tensor
function Tensor:squeeze(dim) end

---Repeated to a larger shape: axes of size 1 repeat, new axes come in front.
---@param ... integer|integer[] the new sizes, as integers or one list; -1 keeps a size
---@return Tensor # new tensor
function Tensor:expand(...) end

---Two axes exchanged.
---@param dim0 integer an axis, 0-based
---@param dim1 integer the other one
---@return Tensor # new tensor
function Tensor:transpose(dim0, dim1) end

---The transpose of a matrix; vectors and scalars stay as they are.
---@return Tensor # new tensor
function Tensor:t() end

---The axes in another order.
---@param ... integer|integer[] which axis comes where, 0-based, as integers or one list
---@return Tensor # new tensor
function Tensor:permute(...) end

---One position along an axis, which goes.
---@param dim integer axis, 0-based, negative from the end
---@param index integer position, 0-based, negative from the end
---@return Tensor # new tensor
function Tensor:select(dim, index) end

---The positions start, start + step, ... before stop along an axis.
---@param dim integer axis, 0-based, negative from the end
---@param start? integer first position, 0-based, negative from the end; nil: the first
---@param stop? integer where to end, itself excluded; nil: the end
---@param step? integer distance of positions (at least 1; default 1)
---@return Tensor # new tensor
function Tensor:slice(dim, start, stop, step) end

---Some positions along an axis.
---@param dim integer axis, 0-based, negative from the end
---@param index Tensor|integer[] 0-based positions: int32 tensor or list
---@return Tensor # new tensor
function Tensor:index_select(dim, index) end

---For each element of index, the element at that position along an axis.
---@param dim integer axis, 0-based, negative from the end
---@param index Tensor int32 tensor of 0-based positions, with as many axes
---@return Tensor # new tensor of the index's shape
function Tensor:gather(dim, index) end

---A last axis of zeros with a 1 at the position that each element (int32) names.
---@param num_classes? integer size of the new axis; nil: the largest element + 1 (at least 0)
---@return Tensor # new float32 tensor
function Tensor:one_hot(num_classes) end

---Parts along an axis.
---@param split_size integer|integer[] size of each part (the last may be smaller), or a list of sizes
---@param dim? integer axis, 0-based, negative from the end (default 0)
---@return Tensor[] # list of tensors
function Tensor:split(split_size, dim) end

---So many parts of about the same size along an axis.
---@param chunks integer number of parts (at least 1)
---@param dim? integer axis, 0-based, negative from the end (default 0)
---@return Tensor[] # list of tensors
function Tensor:chunk(chunks, dim) end

---The lower triangles of the matrices of the last two axes, zeros elsewhere.
---@param diagonal? integer 0 is the main one, positive ones lie above it (default 0)
---@return Tensor # new tensor
function Tensor:tril(diagonal) end

---The upper triangles of the matrices of the last two axes, zeros elsewhere.
---@param diagonal? integer 0 is the main one, positive ones lie above it (default 0)
---@return Tensor # new tensor
function Tensor:triu(diagonal) end

---The matrix product; axes in front are batches; a vector is a row left, a column right.
---@param other Tensor the right factor
---@return Tensor # new tensor
function Tensor:matmul(other) end

---x W^T + b, for x of [..., in].
---@param weight Tensor [out, in]
---@param bias? Tensor [out], or nil
---@return Tensor # new tensor [..., out]
function Tensor:linear(weight, bias) end

---(x - mean) / sqrt(var + eps) * weight + bias over the last axis.
---@param weight? Tensor one factor for each column; nil: ones
---@param bias? Tensor one term for each column; nil: zeros
---@param eps? number added to the variance (at least 0; default 1e-05)
---@return Tensor # new tensor of the same shape
function Tensor:layer_norm(weight, bias, eps) end

---Zeroes elements with probability p and divides the others by 1 - p.
---@param p? number probability (from 0 to 1; default 0.5)
---@param options? DropoutOptions see the fields
---@return Tensor # new tensor of the same shape
function Tensor:dropout(p, options) end

---The mean of -log softmax(x)[label] over rows of logits [n, classes].
---@param labels Tensor|integer[] n classes from 0: int32 tensor or list; rows with -100 do not count
---@param options? CrossEntropyOptions see the fields
---@return Tensor # scalar tensor
function Tensor:cross_entropy(labels, options) end

---The mean of (x - target)^2.
---@param target Tensor of the same shape; no gradient flows into it
---@return Tensor # scalar tensor
function Tensor:mse_loss(target) end

---The reduced singular value decomposition of a matrix: x = U diag(S) Vh.
---@return Tensor, Tensor, Tensor # U, S (descending), Vh
function Tensor:svd() end

---The reduced QR decomposition of a matrix.
---@return Tensor, Tensor # Q with orthonormal columns, R upper triangular
function Tensor:qr() end

---X with self X = other.
---@param other Tensor matrix of as many rows
---@return Tensor # new tensor
function Tensor:solve(other) end

---The inverse of a square matrix.
---@return Tensor # new tensor
function Tensor:inverse() end

---The lower triangular L with L L^T = x, for a positive definite matrix.
---@return Tensor # new tensor
function Tensor:cholesky() end

---Arrays of numbers with gradients; tensor({ { 1, 2 }, { 3, 4 } }) makes one. Axes are 0-based.
---@class tensorlib
---@overload fun(data: number|table, options?: TensorOptions): Tensor
tensor = {}

---A tensor of these numbers.
---@param data number|table a number, or nested lists of numbers
---@param options? TensorOptions see the fields
---@return Tensor # new tensor
function tensor.tensor(data, options) end

---Zeros.
---@param shape integer|integer[] sizes of the axes; {} for a scalar
---@param options? TensorOptions see the fields
---@return Tensor # new tensor
function tensor.zeros(shape, options) end

---Ones.
---@param shape integer|integer[] sizes of the axes; {} for a scalar
---@param options? TensorOptions see the fields
---@return Tensor # new tensor
function tensor.ones(shape, options) end

---One value everywhere.
---@param shape integer|integer[] sizes of the axes; {} for a scalar
---@param value number of every element
---@param options? TensorOptions see the fields
---@return Tensor # new tensor
function tensor.full(shape, value, options) end

---The identity matrix.
---@param n integer rows and columns (at least 0)
---@param options? TensorOptions see the fields
---@return Tensor # new tensor [n, n]
function tensor.eye(n, options) end

---start, start + step, ... before stop; with one number, 0 to that number.
---@param start number first number; the end if it is the only one
---@param stop? number where to end, itself excluded
---@param step? number distance, not 0 (default 1)
---@param options? TensorOptions see the fields
---@return Tensor # new tensor [n]
function tensor.arange(start, stop, step, options) end

---Evenly spaced numbers, both ends included.
---@param start number first number
---@param stop number last number
---@param steps integer how many (at least 0)
---@param options? TensorOptions see the fields
---@return Tensor # new tensor [steps]
function tensor.linspace(start, stop, steps, options) end

---Rows of zeros with a 1 at the position that each id names.
---@param ids Tensor|integer[] 0-based: int32 tensor or list
---@param num_classes? integer size of the new last axis; nil: the largest id + 1 (at least 0)
---@param options? TensorOptions see the fields
---@return Tensor # new tensor [..., num_classes]
function tensor.one_hot(ids, num_classes, options) end

---Uniform draws between 0 and 1.
---@param shape integer|integer[] sizes of the axes; {} for a scalar
---@param options? RandomOptions see the fields
---@return Tensor # new tensor
function tensor.rand(shape, options) end

---Normal draws with mean 0 and standard deviation 1.
---@param shape integer|integer[] sizes of the axes; {} for a scalar
---@param options? RandomOptions see the fields
---@return Tensor # new tensor
function tensor.randn(shape, options) end

---The numbers 0 to n - 1 in random order.
---@param n integer how many (from 0 to 100000000)
---@param seed? integer gives the same order every time; default: --seed or manual_seed, and the call's number (at least 0)
---@return Tensor # new int32 tensor [n]
function tensor.randperm(n, seed) end

---Seeds all later draws of this module that have no seed of their own.
---@param seed integer any number from 0 (at least 0)
function tensor.manual_seed(seed) end

---Tensors one behind the other along an axis.
---@param tensors Tensor[] of the same other sizes
---@param dim? integer axis, 0-based, negative from the end (default 0)
---@return Tensor # new tensor
function tensor.cat(tensors, dim) end

---Tensors of one shape along a new axis.
---@param tensors Tensor[] of one shape
---@param dim? integer axis, 0-based, negative from the end (default 0)
---@return Tensor # new tensor
function tensor.stack(tensors, dim) end

---Elements of a where the condition is not 0, else of b.
---@param condition Tensor a comparison, such as x:gt(0)
---@param a Tensor|number tensor or number
---@param b Tensor|number tensor or number
---@return Tensor # new tensor of the broadcast shape
function tensor.where(condition, a, b) end

---Calls a function without recording for backward().
---@param body function what to call
---@param ... any its arguments
---@return any ... # its results
function tensor.no_grad(body, ...) end

---Whether operations are recorded for backward().
---@return boolean # false inside no_grad
function tensor.grad_enabled() end

---Writes a safetensors file inside the run directory.
---@param path string relative to the run directory
---@param tensors table names and tensors
---@return string # path of the file, for load
function tensor.save(path, tensors) end

---Reads a safetensors file; float16 becomes float32, int64 becomes int32.
---@param path string of the file; what this script saved goes by the name that it was saved under
---@return table # table of names and tensors
function tensor.load(path) end

---Bytes that tensors hold, in all.
---@return table # table: live, peak
function tensor.memory() end

return tensor
