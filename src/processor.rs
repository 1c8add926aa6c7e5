//! Refuses processors that MuJoCo's library cannot run on, before a line of that library is run.
//!
//! The library is compiled for AVX, and its own initialisation, before `main`, already uses it: without this check every
//! command, even `ddppo tasks`, would die of an illegal instruction.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

/// Functions named here are called before any library that the program is linked with is initialised.
#[used]
// SAFETY: the section holds pointers to functions of this type, which the loader calls once; `check` uses nothing that
// needs initialisation before it.
#[unsafe(link_section = ".preinit_array")]
static CHECK: extern "C" fn() = check;

const REFUSAL: &str = "error: this processor has no AVX instructions, which the physics library MuJoCo needs: ddppo \
    runs on processors made since 2012, and in virtual machines that show their processor's AVX\n";

extern "C" fn check() {
    if !is_x86_feature_detected!("avx") {
        // SAFETY: a write of as many bytes as the text has, and the end of the process, without what `exit` would run.
        unsafe {
            libc::write(libc::STDERR_FILENO, REFUSAL.as_ptr().cast(), REFUSAL.len());
            libc::_exit(1);
        }
    }
}
