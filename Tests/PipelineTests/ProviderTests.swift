import TestSupport
import Testing

/// What chooses who multiplies, in the environment.
@Suite(.enabled(if: perigeeExecutable != nil, "perigee is not built"))
struct ProviderTests {
  @Test(arguments: [
    ("PERIGEE_PRODUCTS=avx51", "PERIGEE_PRODUCTS=avx51: no such name; expected one of avx512, avx2,", "did you mean 'avx512'?"),
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
}
