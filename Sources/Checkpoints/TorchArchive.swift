import Diagnostics
import Files

/// A file of `torch.save` with tensors by name, such as `pytorch_model.bin` and `adapter_model.bin`, checked as a whole when
/// opened and then read through a memory map. Nothing in it is run; see `TorchPickle`.
///
/// Layout: a zip archive of stored members; `<root>/data.pkl` describes the tensors, `<root>/data/<key>` holds their elements.
public final class TorchArchive: TensorFile {
  public let path: String
  /// The tensors' names, sorted.
  public let names: [String]
  private let archive: ZipArchive
  private let places: [String: Place]

  /// Where a tensor's elements are.
  private struct Place: Sendable {
    let entry: TensorEntry
    /// The member that holds its storage.
    let member: ZipArchive.Entry
    /// Elements from one position of each axis to the next; nil where they follow each other.
    let strides: [Int]?
  }

  /// Opens and checks a file.
  ///
  /// Throws `EngineError`: `.file` if it cannot be read; `.data` where it is not of torch's format since version 1.6, where its
  /// pickle names anything but tensors, or where a tensor lies outside its storage.
  public init(_ path: String) throws {
    self.path = path
    try Self.requireZip(path)
    let archive = try ZipArchive(path)
    let root = try Self.root(of: archive)
    guard let pickle = archive[root + "data.pkl"] else { throw EngineError(.data, "\(path): no member 'data.pkl'") }
    var places: [String: Place] = [:]
    for (name, tensor) in try archive.withBytes(of: pickle, { try TorchPickle.tensors($0, path: path) }) {
      guard places[name] == nil else { throw EngineError(.data, "\(path): two tensors are called '\(name)'") }
      places[name] = try Self.place(of: tensor, name: name, root: root, in: archive)
    }
    self.archive = archive
    self.places = places
    names = places.keys.sorted()
  }

  public subscript(name: String) -> TensorEntry? { places[name]?.entry }

  public func elements(of entry: TensorEntry) throws -> TensorBytes {
    guard let place = places[entry.name], place.entry == entry else {
      throw EngineError(.data, "\(path): tensor '\(entry.name)' belongs to another file")
    }
    try archive.verify(place.member)
    let file = archive.file
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[entry.range])
    guard let strides = place.strides else {
      return TensorBytes(bytes: bytes, owner: file, whenUnneeded: { file.advise(.dontNeed, entry.range) })
    }
    try AddressSpace.require(entry.dtype.byteCount(ofShape: entry.shape) ?? 0, for: "a copy of tensor '\(entry.name)'")
    let copy = ContiguousCopy(of: bytes, entry, strides)
    return TensorBytes(bytes: UnsafeRawBufferPointer(copy.bytes), owner: copy, whenUnneeded: nil)
  }

  // MARK: Checks

  /// torch.save's older format begins with a pickle.
  private static func requireZip(_ path: String) throws {
    let file = try MappedFile(path)
    try file.withBytes { bytes in
      guard !bytes.starts(with: ZipArchive.signature) else { return }
      guard bytes.starts(with: [0x80, 0x02, 0x8A, 0x0A]) else {
        throw EngineError(.data, "\(path): not a file of torch.save: it does not begin as a zip archive does")
      }
      throw EngineError(
        .data, "\(path): torch.save's format from before torch 1.6",
        hint: "save it anew with torch: python3 -c \"import torch; p = '\(path)'; "
          + "torch.save(torch.load(p, map_location='cpu', weights_only=True), p)\"")
    }
  }

  /// What the members' names begin with: a folder that is called as the file was.
  private static func root(of archive: ZipArchive) throws -> String {
    let pickles = archive.entries.map(\.name).filter { $0.hasSuffix("/data.pkl") && $0.split(separator: "/").count == 2 }
    guard let pickle = pickles.first, pickles.count == 1 else {
      throw EngineError(.data, "\(archive.path): not a file of torch.save: \(pickles.count) members 'data.pkl', expected 1")
    }
    let root = String(pickle.dropLast("data.pkl".count))
    if archive[root + "constants.pkl"] != nil {
      throw EngineError(.data, "\(archive.path): a TorchScript program, expected a state_dict")
    }
    if let order = archive[root + "byteorder"] {
      let text = try archive.withBytes(of: order) { String(decoding: $0.prefix(16), as: UTF8.self) }
      guard text == "little" else { throw EngineError(.data, "\(archive.path): byte order '\(text)', expected 'little'") }
    }
    return root
  }

  private static func place(
    of tensor: TorchPickle.TensorReference, name: String, root: String, in archive: ZipArchive
  ) throws -> Place {
    func failure(_ what: String) -> EngineError { EngineError(.data, "\(archive.path): tensor '\(name)': \(what)") }
    let (dtype, storage) = (tensor.storage.dtype, tensor.storage)
    guard let member = archive[root + "data/" + storage.key] else { throw failure("no member 'data/\(storage.key)'") }
    guard let bytes = dtype.byteCount(ofShape: [storage.count]), bytes == member.range.count else {
      throw failure("its storage of \(storage.count) \(dtype.rawValue) has \(member.range.count) bytes")
    }
    guard let size = dtype.byteCount(ofShape: tensor.shape) else { throw failure("shape \(tensor.shape) is too large") }
    // Elements that lie upon each other would let a small file claim any amount of memory.
    guard size <= bytes else { throw failure("shape \(tensor.shape) has more elements than its storage, \(storage.count)") }
    // Positions of the first element, and of the one after the last.
    var (last, isOutside) = (tensor.offset, false)
    for (size, stride) in zip(tensor.shape, tensor.strides) where size > 1 && !tensor.shape.contains(0) {
      let (step, tooLong) = stride.multipliedReportingOverflow(by: size - 1)
      let (sum, tooFar) = last.addingReportingOverflow(step)
      (last, isOutside) = (sum, isOutside || tooLong || tooFar)
    }
    let isEmpty = tensor.shape.contains(0)
    guard !isOutside, isEmpty ? last <= storage.count : last < storage.count else {
      throw failure("it lies outside its storage of \(storage.count) elements")
    }
    let start = member.range.lowerBound + tensor.offset * dtype.size
    let end = isEmpty ? start : member.range.lowerBound + (last + 1) * dtype.size
    let entry = TensorEntry(name: name, dtype: dtype, shape: tensor.shape, range: start..<end)
    // What an axis of one position steps by means nothing, and may be any number.
    let strides = zip(tensor.shape, tensor.strides).map { $0 == 1 ? 0 : $1 }
    return Place(entry: entry, member: member, strides: isContiguous(tensor) ? nil : strides)
  }

  private static func isContiguous(_ tensor: TorchPickle.TensorReference) -> Bool {
    if tensor.shape.contains(0) { return true }
    var expected = 1
    for (size, stride) in zip(tensor.shape, tensor.strides).reversed() where size > 1 {
      guard stride == expected else { return false }
      expected *= size
    }
    return true
  }
}

/// The elements of a tensor with strides, one after another.
private final class ContiguousCopy {
  let bytes: UnsafeMutableRawBufferPointer

  /// `source` reaches from the tensor's first element to its last.
  init(of source: UnsafeRawBufferPointer, _ entry: TensorEntry, _ strides: [Int]) {
    let (size, shape) = (entry.dtype.size, entry.shape)
    bytes = .allocate(byteCount: max(1, shape.reduce(size, *)), alignment: 64)
    var index = [Int](repeating: 0, count: shape.count)
    var from = 0
    for to in 0..<shape.reduce(1, *) {
      for i in 0..<size { bytes[to * size + i] = source[from * size + i] }
      var axis = shape.count - 1
      while axis >= 0 {
        index[axis] += 1
        from += strides[axis]
        if index[axis] < shape[axis] { break }
        from -= strides[axis] * shape[axis]
        index[axis] = 0
        axis -= 1
      }
    }
  }

  deinit { bytes.deallocate() }
}
