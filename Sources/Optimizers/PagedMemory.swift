import Diagnostics
import Files
import TensorCore

/// Where an optimizer's tensors lie: small ones in memory, large ones in mapped files of their own, whose pages the system
/// may write out when memory is short. The values are the same either way.
///
/// Paper: Dettmers et al. 2023, arXiv 2305.14314, section 3 (paged optimizers).
public struct PagedMemory {
  /// Tensors of fewer elements stay in memory, as in bitsandbytes.
  public static let leastCount = 100_000
  /// Where the files are; they have no names and go with the tensors.
  let folder: String

  public init(folder: String) { self.folder = folder }

  /// Zeros. Throws `EngineError` (`.file`) where the disk has no room.
  func zeros(_ shape: [Int]) throws -> Tensor {
    let count = shape.reduce(1, *)
    guard count >= Self.leastCount else { return try .zeros(shape) }
    let mapping = try ScratchMapping(byteCount: count * DType.float32.size, folder: folder)
    return try Tensor(mapping: mapping.bytes, owner: mapping, shape: shape, .float32)
  }
}
