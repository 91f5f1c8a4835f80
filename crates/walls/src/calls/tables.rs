//! The lists of calls.

use libc::c_long;

macro_rules! calls {
    ($($name:ident)*) => { &[$(libc::$name),*] };
}

/// What threads, files, accepted connections, clocks and memory need, as glibc, musl and Rust's standard library ask for it.
/// Calls with a case in [`super::rules`] pass only otherwise.
const ALLOWED: &[c_long] = calls![
    // Files. Paths are Landlock's matter, but nothing that changes a file by its path without opening it is here: Landlock does
    // not hold chmod, chown, times and attributes.
    SYS_openat SYS_close SYS_close_range SYS_read SYS_readv SYS_pread64 SYS_preadv SYS_preadv2 SYS_write SYS_writev
    SYS_pwrite64 SYS_pwritev SYS_pwritev2 SYS_lseek SYS_fsync SYS_fdatasync SYS_sync_file_range SYS_ftruncate SYS_fallocate
    SYS_fadvise64 SYS_fstat SYS_newfstatat SYS_statx SYS_fstatfs SYS_faccessat SYS_faccessat2 SYS_renameat SYS_renameat2
    SYS_unlinkat SYS_mkdirat SYS_readlinkat SYS_getdents64 SYS_getcwd SYS_flock SYS_fcntl SYS_fchmod SYS_umask SYS_ioctl
    SYS_dup SYS_dup3 SYS_pipe2
    // Connections that are there, and waiting for them.
    SYS_accept SYS_accept4 SYS_recvfrom SYS_sendto SYS_shutdown SYS_getsockname SYS_getpeername SYS_getsockopt SYS_setsockopt
    SYS_socketpair SYS_ppoll SYS_pselect6 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_eventfd2
    // Memory.
    SYS_brk SYS_mmap SYS_munmap SYS_mremap SYS_mprotect SYS_madvise SYS_msync SYS_mlock SYS_mlock2 SYS_munlock SYS_membarrier
    // Threads, their signals and their end.
    SYS_clone SYS_futex SYS_set_robust_list SYS_get_robust_list SYS_rseq SYS_set_tid_address SYS_gettid SYS_getpid SYS_getppid
    SYS_sched_yield SYS_sched_getaffinity SYS_sched_getparam SYS_sched_getscheduler SYS_getcpu SYS_prctl SYS_exit
    SYS_exit_group SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigtimedwait SYS_rt_sigsuspend
    SYS_rt_sigpending SYS_sigaltstack SYS_tgkill SYS_restart_syscall
    // Clocks, randomness, and who and where one is.
    SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday SYS_getrandom SYS_getuid SYS_geteuid
    SYS_getgid SYS_getegid SYS_getresuid SYS_getresgid SYS_getgroups SYS_uname SYS_sysinfo SYS_getrusage SYS_prlimit64
];

/// The same under the older names that only x86_64 has.
#[cfg(target_arch = "x86_64")]
const ALLOWED_OLD: &[c_long] = calls![
    SYS_open SYS_stat SYS_lstat SYS_access SYS_rename SYS_unlink SYS_mkdir SYS_rmdir SYS_readlink SYS_dup2 SYS_pipe SYS_poll
    SYS_select SYS_epoll_wait SYS_time SYS_getrlimit
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_OLD: &[c_long] = calls![SYS_getrlimit];

/// What nothing in the process, nor in a library that it uses, has a reason to ask for: other programs, other processes'
/// memory, the kernel's own code, mounts and namespaces.
const FATAL: &[c_long] = calls![
    SYS_execve SYS_execveat SYS_ptrace SYS_process_vm_readv SYS_process_vm_writev SYS_process_madvise SYS_pidfd_getfd SYS_kcmp
    SYS_bpf SYS_perf_event_open SYS_userfaultfd SYS_mount SYS_umount2 SYS_move_mount SYS_open_tree SYS_fsopen SYS_fsconfig
    SYS_fsmount SYS_fspick SYS_mount_setattr SYS_pivot_root SYS_chroot SYS_unshare SYS_setns SYS_init_module SYS_finit_module
    SYS_delete_module SYS_kexec_load SYS_open_by_handle_at SYS_reboot SYS_swapon SYS_swapoff
];
#[cfg(target_arch = "x86_64")]
const FATAL_OLD: &[c_long] = calls![SYS_iopl SYS_ioperm SYS_modify_ldt SYS_kexec_file_load];
#[cfg(not(target_arch = "x86_64"))]
const FATAL_OLD: &[c_long] = &[];

/// What is refused with any arguments.
pub const REFUSED: &[c_long] = calls![
    // Sockets other than those that are open. `connect` would also turn an accepted connection into another one.
    SYS_socket SYS_connect SYS_bind SYS_listen SYS_sendmsg SYS_sendmmsg SYS_recvmsg SYS_recvmmsg
    // Signals to others.
    SYS_kill SYS_tkill SYS_rt_sigqueueinfo SYS_rt_tgsigqueueinfo SYS_pidfd_open SYS_pidfd_send_signal
    // Files by their path, beside Landlock.
    SYS_fchmodat SYS_fchownat SYS_fchown SYS_utimensat SYS_setxattr SYS_lsetxattr SYS_fsetxattr SYS_removexattr
    SYS_lremovexattr SYS_fremovexattr SYS_truncate SYS_linkat SYS_symlinkat SYS_mknodat SYS_chdir SYS_fchdir
    // Another user, other rights, limits and filters.
    SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setfsuid SYS_setfsgid SYS_setgroups
    SYS_capset SYS_setrlimit SYS_seccomp SYS_personality SYS_setpriority SYS_sched_setscheduler SYS_sched_setparam
    SYS_sched_setattr SYS_sched_setaffinity SYS_munlockall
    // Ways around the above, and doors into the kernel that nothing here needs.
    SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register SYS_memfd_create SYS_pkey_mprotect SYS_remap_file_pages
    SYS_add_key SYS_request_key SYS_keyctl SYS_acct SYS_quotactl SYS_syslog SYS_settimeofday SYS_clock_settime
    SYS_clock_adjtime SYS_adjtimex SYS_sethostname SYS_setdomainname
];
#[cfg(target_arch = "x86_64")]
pub const REFUSED_OLD: &[c_long] = calls![
    SYS_fork SYS_vfork SYS_chmod SYS_chown SYS_lchown SYS_utime SYS_utimes SYS_futimesat SYS_link SYS_symlink SYS_mknod
    SYS_creat
];
#[cfg(not(target_arch = "x86_64"))]
pub const REFUSED_OLD: &[c_long] = &[];

pub fn allowed() -> Vec<c_long> {
    [ALLOWED, ALLOWED_OLD].concat()
}

pub fn fatal() -> Vec<c_long> {
    [FATAL, FATAL_OLD].concat()
}
