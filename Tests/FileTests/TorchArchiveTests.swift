import Diagnostics
import Foundation
import TestSupport
import Testing

@testable import Checkpoints
@testable import Files

private let folder = packageRoot + "/Tests/Fixtures/torch"

/// Files of torch.save: what they hold, and that nothing in them can do harm.
@Suite struct TorchArchiveTests {
  @Test(arguments: ["tensors.bin", "wide.bin"]) func holdsWhatTorchSaved(_ name: String) throws {
    let file = try TorchArchive(folder + "/" + name)
    let expected = try SafetensorsFile(folder + "/tensors.safetensors")
    #expect(file.names == expected.names && file.names.count == 19)
    for name in file.names {
      let (own, other) = (try file.entry(name), try expected.entry(name))
      #expect(own.dtype == other.dtype && own.shape == other.shape, "\(name)")
      #expect(try file.withBytes(of: own) { [UInt8]($0) } == expected.withBytes(of: other) { [UInt8]($0) }, "\(name)")
    }
    #expect(throws: EngineError.self) { try file.elements(of: expected.entry("matrix")) }
    #expect { try file.entry("matrx") } throws: { "\($0)".contains("did you mean 'matrix'?") }
  }

  @Test func findsTheStateDictInACheckpoint() throws {
    #expect(try TorchArchive(folder + "/wrapped.bin").names == ["a"])
  }

  @Test(arguments: [
    ("legacy.bin", "torch.save's format from before torch 1.6; save it anew with torch: python3 -c"),
    ("protocol4.bin", "pickle protocol 4, expected 2; save it with torch.save's default pickle_protocol"),
    ("command.bin", "names 'posix.system', which is no part of a dictionary of tensors; nothing was run"),
    ("list.bin", "is no dictionary of tensors"), ("number.bin", "'a' is no tensor"),
    ("deflated.bin", "is compressed (method 8), expected stored members"), ("script.bin", "a TorchScript program"),
    ("tensors.safetensors", "not a file of torch.save"), ("none.bin", "no such file"),
  ])
  func saysWhatItDoesNotRead(name: String, message: String) {
    #expect { try TorchArchive(folder + "/" + name) } throws: {
      $0 is EngineError && "\($0)".contains(message) && "\($0)".contains(name)
    }
  }

  @Test func isAModelFoldersLastChoice() throws {
    try withTemporaryFolder { temporary in
      try FileManager.default.copyItem(atPath: folder + "/tensors.bin", toPath: temporary + "/pytorch_model.bin")
      let weights = try WeightsFolder(temporary)
      #expect(weights.names.count == 19)
      let digest = try weights.digest()
      try FileManager.default.copyItem(atPath: folder + "/tensors.safetensors", toPath: temporary + "/model.safetensors")
      #expect(try WeightsFolder(temporary).files.first is SafetensorsFile)
      #expect(try WeightsFolder(temporary).digest() == digest)
    }
    try withTemporaryFolder { temporary in
      try FileManager.default.copyItem(atPath: folder + "/tensors.bin", toPath: temporary + "/pytorch_model-1.bin")
      try AtomicFile.write(
        ["weight_map": ["matrix": "pytorch_model-1.bin", "torch.int8": "pytorch_model-1.bin"]],
        to: temporary + "/pytorch_model.bin.index.json")
      #expect(try WeightsFolder(temporary).names == ["matrix", "torch.int8"])
    }
  }

  @Test func renamesTensors() throws {
    let file = try TorchArchive(folder + "/tensors.bin")
    let renamed = try RenamedTensorFile(file) { $0 == "scalar" ? nil : "x." + $0 }
    #expect(renamed.names.count == 18 && renamed["scalar"] == nil && renamed["matrix"] == nil)
    #expect(try renamed.withBytes(of: "x.column") { [UInt8]($1) } == file.withBytes(of: "column") { [UInt8]($1) })
    #expect(throws: EngineError.self) { try RenamedTensorFile(file) { _ in "one" } }
  }

  // MARK: Damage

  /// A zip archive of stored members.
  private func archive(_ members: [(name: String, bytes: [UInt8])]) -> [UInt8] {
    var out: [UInt8] = []
    var directory: [UInt8] = []
    func little(_ value: Int, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
    for (name, bytes) in members {
      let checksum = Int(bytes.withUnsafeBytes { CRC32.zip.checksum(of: $0) })
      let sizes = little(0, 8) + little(checksum, 4) + little(bytes.count, 4) + little(bytes.count, 4) + little(name.utf8.count, 2) + little(0, 2)
      directory += [0x50, 0x4B, 1, 2, 0, 0, 0, 0] + sizes + little(0, 10) + little(out.count, 4) + Array(name.utf8)
      out += [0x50, 0x4B, 3, 4, 0, 0] + sizes + Array(name.utf8) + bytes
    }
    let end = [0x50, 0x4B, 5, 6] + little(0, 4) + little(members.count, 2) + little(members.count, 2)
    return out + directory + end + little(directory.count, 4) + little(out.count, 4) + little(0, 2)
  }

  private func message(_ body: () throws -> Void) -> String {
    do { try body() } catch { return error is EngineError ? "\(error)" : "another error: \(error)" }
    return "no error"
  }

  /// The pickle {"t": tensor} with a storage of 4 floats, offset, shape and strides.
  private func pickle(_ offset: String, _ shape: String, _ strides: String, count: String = "K\u{4}") -> [UInt8] {
    func tuple(_ text: String) -> String { "(" + text + "t" }
    let storage = tuple("U\u{7}storagectorch\nFloatStorage\nU\u{1}0U\u{3}cpu" + count) + "Q"
    return [0x80, 2]
      + Array(
        ("}U\u{1}tctorch._utils\n_rebuild_tensor_v2\n("
          + storage + offset + tuple(shape) + tuple(strides) + "NNtRs.").utf8)
  }

  private func write(_ pickle: [UInt8], to temporary: String, data: Int = 16) throws -> String {
    let path = temporary + "/x.bin"
    let content = archive([("x/data.pkl", pickle), ("x/data/0", [UInt8](repeating: 1, count: data))])
    try Data(content).write(to: URL(fileURLWithPath: path))
    return path
  }

  /// An axis of one position may step by anything: torch writes what it likes.
  @Test func ignoresTheStrideOfOnePosition() throws {
    try withTemporaryFolder { temporary in
      // "~" stands for 2^63 - 1.
      let bytes = pickle("K\u{0}", "K\u{1}K\u{2}K\u{2}", "~K\u{1}K\u{2}").flatMap { byte in
        byte == UInt8(ascii: "~") ? [0x8A, 8] + [UInt8](repeating: 0xFF, count: 7) + [0x7F] : [byte]
      }
      let file = try TorchArchive(write(bytes, to: temporary))
      #expect(try file.withBytes(of: "t") { $1.count } == 16)
    }
  }

  @Test func checksumsAreThoseOfZip() {
    for (text, checksum) in [("", 0), ("123456789", 0xCBF4_3926), ("The quick brown fox jumps over the lazy dog", 0x414F_A339)] {
      let found = Array(text.utf8).withUnsafeBytes { CRC32.zip.checksum(of: $0) }
      #expect(found == UInt32(checksum), "\(text)")
    }
  }

  /// One bit of a tensor's bytes, or of the pickle's, is noticed before it is used.
  @Test func noticesDamagedBytes() throws {
    try withTemporaryFolder { temporary in
      let good = pickle("K\u{0}", "K\u{2}K\u{2}", "K\u{2}K\u{1}")
      let path = try write(good, to: temporary)
      let content = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
      let place = try #require(try ZipArchive(path)["x/data/0"]?.range.lowerBound)
      var damaged = content
      damaged[place + 9] ^= 0x10
      try Data(damaged).write(to: URL(fileURLWithPath: path))
      let file = try TorchArchive(path)
      for _ in 0..<2 {
        let text = message { _ = try file.withBytes(of: "t") { _, _ in } }
        #expect(text.contains("x.bin: member 'x/data/0' is damaged: its bytes do not have the checksum"), "\(text)")
      }
      damaged = content
      let first = try #require(try ZipArchive(path)["x/data.pkl"]?.range.lowerBound)
      damaged[first + 5] ^= 0x01
      try Data(damaged).write(to: URL(fileURLWithPath: path))
      #expect(message { _ = try TorchArchive(path) }.contains("member 'x/data.pkl' is damaged"))
    }
  }

  @Test func checksTensorsAgainstTheirStorage() throws {
    let big = "J\u{7F}\u{7F}\u{7F}\u{7F}"
    try withTemporaryFolder { temporary in
      let good = try TorchArchive(write(pickle("K\u{0}", "K\u{2}K\u{2}", "K\u{1}K\u{2}"), to: temporary))
      #expect(good["t"]?.shape == [2, 2])
      let cases: [([UInt8], Int, String)] = [
        (pickle("K\u{1}", "K\u{2}K\u{2}", "K\u{1}K\u{2}"), 16, "it lies outside its storage of 4 elements"),
        (pickle("K\u{5}", "K\u{0}", "K\u{1}"), 16, "it lies outside"),
        (pickle("K\u{0}", "K\u{5}", "K\u{0}"), 16, "has more elements than its storage"),
        (pickle("K\u{0}", big + big + big + big, "K\u{0}K\u{0}K\u{0}K\u{0}"), 16, "is too large"),
        (pickle("K\u{0}", "K\u{2}K\u{2}", "K\u{1}" + big), 16, "it lies outside"),
        (pickle(big, "K\u{1}", "K\u{1}"), 16, "it lies outside"),
        (pickle("K\u{0}", "K\u{2}", "K\u{1}K\u{1}"), 16, "a call has other arguments"),
        (pickle("K\u{0}", "K\u{2}", "K\u{1}", count: "K\u{5}"), 16, "its storage of 5 F32 has 16 bytes"),
        (pickle("K\u{0}", "K\u{2}", "K\u{1}"), 15, "its storage of 4 F32 has 15 bytes"),
        (pickle("K\u{0}", "K\u{2}", "K\u{1}", count: big), 16, "has 16 bytes"),
      ]
      for (bytes, data, expected) in cases {
        #expect(message { _ = try TorchArchive(write(bytes, to: temporary, data: data)) }.contains(expected), "\(expected)")
      }
      // Negative numbers, as four bytes of a two's complement.
      var negative = pickle("K\u{0}", "K\u{2}", "K\u{1}")
      let shape = try #require(negative.lastIndex(of: 2))
      negative.replaceSubrange(shape - 1...shape, with: Array("J".utf8) + [0xFF, 0xFF, 0xFF, 0xFF])
      #expect(message { _ = try TorchArchive(write(negative, to: temporary)) }.contains("other arguments"))
    }
  }

  /// Instructions that would cost memory, time, or the stack.
  @Test func boundsWhatAPickleCosts() throws {
    func repeated(_ part: [UInt8], _ count: Int) -> [UInt8] {
      part.count == 1 ? [UInt8](repeating: part[0], count: count) : [[UInt8]](repeating: part, count: count).flatMap { $0 }
    }
    func text(_ text: String) -> [UInt8] { Array(text.utf8) }
    let chain = text("]q\u{1}") + repeated(text("h\u{1}]q\u{1}a0h\u{1}"), 20_000)
    let cases: [([UInt8], String)] = [
      ([], "ends in the middle"), (text("."), "takes more than there is"), (text("}."), "no error"),
      (text("(((("), "ends in the middle"), (text(")") + repeated([0x85], 100_000) + text("."), "nested more than 32 deep"),
      (text("]q\u{1}h\u{1}a."), "is no dictionary"), (text("}q\u{1}U\u{1}xh\u{1}s."), "'x' is no tensor"),
      (text("}q\u{1}U\u{a}state_dicth\u{1}s."), "'state_dict' is no tensor"),
      (chain + text("."), "is no dictionary"), (repeated(text("]"), 100_000) + text("."), "is no dictionary"),
      (repeated(text("("), 100_000) + text("t."), "is no dictionary"),
      (text("cos\nsystem\n."), "names 'os.system', which is no part"), (text("cos\n"), "ends in the middle"),
      (text("c") + repeated(text("a"), 100_000) + text("\nb\n."), "aaa...', which"),
      (text("X") + [0xFF, 0xFF, 0xFF, 0xFF] + text("a."), "ends in the middle"), (text("U\u{2}") + [0xFF, 0xFE], "is not UTF-8"),
      ([0x8A, 255] + repeated([1], 255) + text("."), "a number of 255 bytes"), ([0x8B, 1, 0, 0, 0], "instruction 0x8b at byte 0"),
      (text("h\u{1}."), "does not remember"), (text("q\u{1}."), "remembers what is not there"),
      (text("K\u{1}a."), "to something else than a list"), (text("K\u{1}K\u{1}K\u{1}s."), "something else than a dictionary"),
      (text("}(K\u{1}u."), "something else than a dictionary"), (text("K\u{1})R."), "something else than a function"),
      (text("ccollections\nOrderedDict\n]R."), "something else than a function"),
      (text("ccollections\nOrderedDict\n]") + [0x85] + text("R."), "other arguments"),
      (text("ctorch\nFloatStorage\n)R."), "other arguments"), (text("K\u{1}}b."), "attributes of something else"),
      (text("K\u{1}Q."), "a storage is not described"), (text("e."), "what no mark begins"), (text("}(0."), "takes more than"),
      (text("K\u{1}(a."), "takes more than there is"), ([0x80, 9], "pickle protocol 9"),
      (repeated(text("N"), TorchPickle.longest + 1), "expected at most"),
    ]
    for (bytes, expected) in cases {
      let given = message { try bytes.withUnsafeBytes { _ = try TorchPickle.tensors($0, path: "x.bin") } }
      #expect(given.contains(expected), "\(given), not \(expected)")
    }
  }

  @Test func randomInstructionsDoNoHarm() throws {
    let codes: [UInt8] = Array("(.)NKMJGXUt]}aesu0qrhjcQRb".utf8) + [0x80, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A]
    var generator = SeededNumbers(seed: 5)
    var (failures, successes) = (0, 0)
    for _ in 0..<5_000 {
      let bytes = (0..<Int.random(in: 1...60, using: &generator)).map { _ in
        Int.random(in: 0..<4, using: &generator) == 0
          ? UInt8.random(in: 0...8, using: &generator) : codes[Int.random(in: 0..<codes.count, using: &generator)]
      }
      do {
        _ = try bytes.withUnsafeBytes { try TorchPickle.tensors($0, path: "x") }
        successes += 1
      } catch is EngineError { failures += 1 }
    }
    #expect(failures > 4_700 && failures + successes == 5_000)
  }

  /// Any change of some bytes, and any cut: an error, or tensors whose bytes can be read.
  @Test(arguments: ["tensors.bin", "wide.bin"]) func damagedFilesDoNoHarm(_ name: String) throws {
    let original = try [UInt8](Data(contentsOf: URL(fileURLWithPath: folder + "/" + name)))
    var generator = SeededNumbers(seed: 9)
    var (failures, successes) = (0, 0)
    // Where the records are: half of all changes hit the central directory, which is at the end.
    try withTemporaryFolder { temporary in
      let path = temporary + "/x.bin"
      for round in 0..<600 {
        var bytes = original
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
          let range = Bool.random(using: &generator) ? 0..<bytes.count : bytes.count * 2 / 3..<bytes.count
          let values: [UInt8] = [0, 1, 0x7F, 0x80, 0xFF, UInt8.random(in: 0...255, using: &generator)]
          bytes[Int.random(in: range, using: &generator)] = values[Int.random(in: 0..<6, using: &generator)]
        }
        if round % 4 == 0 { bytes.removeLast(Int.random(in: 0...bytes.count, using: &generator)) }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        do {
          let file = try TorchArchive(path)
          for name in file.names { _ = try file.withBytes(of: name) { Digest(of: $1) } }
          successes += 1
        } catch is EngineError { failures += 1 }
      }
    }
    #expect(failures > 100 && successes > 10, "\(failures), \(successes)")
  }
}
