import Files
import Foundation
import TestSupport
import Testing

/// What chooses who multiplies, in the environment.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
struct ProviderTests {
  @Test(arguments: [
    ("PERIGEE_PRODUCTS=avx51", "PERIGEE_PRODUCTS=avx51: no such name; expected one of amx, avx512, avx512-fp32,", "did you mean 'avx512'?"),
    ("PERIGEE_CPU=AVX2", "PERIGEE_CPU=AVX2: no such name; expected one of baseline, avx2, avx512,", "did you mean 'avx2'?"),
    ("PERIGEE_CPU=baseline PERIGEE_PRODUCTS=avx2", "PERIGEE_PRODUCTS=avx2: this needs AVX2 and FMA, which is not here", "unset"),
  ])
  func whatIsNotThereIsAnError(settings: String, message: String, hint: String) throws {
    try withTemporaryFolder { folder in
      for arguments in [["stubs", "--help"], ["runs"], ["run", "x.lua"]] {
        let outcome = try perigee(arguments, in: folder, shell: "\(settings) \"$@\"")
        #expect(outcome.code == 1 && outcome.output == "", "\(outcome)")
        #expect(outcome.error.contains(message) && outcome.error.contains(hint), "\(outcome.error)")
      }
    }
  }

  /// The choice is measured once; a kept one is followed, said in the run's record, and told where a run goes on with another.
  @Test func theChoiceIsKept() throws {
    try withTemporaryFolder { folder in
      try "print('done')".write(toFile: folder + "/x.lua", atomically: true, encoding: .utf8)
      let path = folder + "/cache/products.json"
      func run(_ arguments: [String]) throws -> Outcome {
        let outcome = try perigee(["run"] + arguments, in: folder, shell: "PERIGEE_CACHE=cache \"$@\"")
        #expect(outcome.code == 0, "\(outcome.error)")
        return outcome
      }
      func products() throws -> String { try String(contentsOfFile: folder + "/out/command.json", encoding: .utf8) }
      _ = try run(["x.lua", "--out", "out"])
      let kept = try String(contentsOfFile: path, encoding: .utf8)
      // Where others are nearly as fast in bfloat16, a second measurement may choose them; in fp32 one unit is twice as fast as the next.
      func chosen() throws -> String? { try JSONValue(file: path).objectValue?.values.first?["fp32"]?.stringValue }
      let fp32 = try #require(try chosen())
      #expect(try products().contains("fp32=\(fp32)"))
      // No CPU multiplies fp32 so: it is measured anew.
      try kept.replacingOccurrences(of: "\"\(fp32)\"", with: "\"onednn\"").write(toFile: path, atomically: true, encoding: .utf8)
      _ = try run(["x.lua", "--out", "other"])
      #expect(try chosen() == fp32)
      try "{\"".write(toFile: path, atomically: true, encoding: .utf8)
      _ = try run(["x.lua", "--out", "third"])
      #expect(try chosen() == fp32)
      guard fp32 == "avx512" else { return }
      try kept.replacingOccurrences(of: "\"\(fp32)\"", with: "\"avx2\"").write(toFile: path, atomically: true, encoding: .utf8)
      let resumed = try run(["--resume", "out"])
      #expect(
        resumed.error.contains("and continues with ") && resumed.error.contains(" fp32=avx2: results differ by rounding"), "\(resumed.error)")
      #expect(try products().contains("fp32=avx2"))
    }
  }
}
