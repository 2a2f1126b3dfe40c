/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A secrets manager's own program fetches the PIN.  posix_spawn() and no
 * shell: the application has threads, and nothing here is to be expanded.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "command.h"

#define ARGS_MAX 32

/* Split words in place; false if there are too many, or no absolute path. */
static bool split(char *words, char *argv[ARGS_MAX + 1])
{
    static const char blanks[] = " \t";
    size_t n = 0;
    char *rest;

    for (char *word = strtok_r(words, blanks, &rest); word != NULL;
         word = strtok_r(NULL, blanks, &rest)) {
        if (n == ARGS_MAX)
            return false;
        argv[n++] = word;
    }
    argv[n] = NULL;
    return n > 0 && argv[0][0] == '/';
}

/*
 * A group of its own, so that what it starts can be killed with it; and none
 * of the application's signal handling.
 */
static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, defaults;

    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGCHLD);
    (void)posix_spawnattr_setsigmask(attr, &none);
    (void)posix_spawnattr_setsigdefault(attr, &defaults);
    (void)posix_spawnattr_setpgroup(attr, 0);
    return posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP |
                                              POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
}

/* Returns 0 or an errno. */
static int spawn(pid_t *pid, char *const argv[], int out)
{
    /* A program with more rights than its caller's does not pass them on. */
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin";
    static char *const clean[] = { path, NULL };
    char *const *envp = getauxval(AT_SECURE) ? clean : environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&actions);

    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (rc != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return rc;
    }
    rc = set_attributes(&attr);
    /* In this order: out may be 0 where the application closed that. */
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO,
                                              "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn(pid, argv[0], &actions, &attr, argv, envp);
    (void)posix_spawnattr_destroy(&attr);
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

bool p11_command_start(struct p11_command *command, const char *line)
{
    char *words = strdup(line), *argv[ARGS_MAX + 1];
    int fds[2] = { -1, -1 }, rc = EINVAL;

    if (words == NULL)
        return false;
    /* Looked at first: not every system tells that exec() failed. */
    if (split(words, argv))
        rc = access(argv[0], X_OK) == 0 && pipe2(fds, O_CLOEXEC) == 0
                 ? spawn(&command->pid, argv, fds[1])
                 : errno;
    free(words);
    if (fds[1] >= 0)
        (void)close(fds[1]);
    if (rc != 0 && fds[0] >= 0)
        (void)close(fds[0]);
    command->fd = rc == 0 ? fds[0] : -1;
    errno = rc;
    return rc == 0;
}

/* Whether it has ended; *status then says how. */
static bool ended(pid_t pid, int flags, int *status)
{
    pid_t got;
    int raw;

    do {
        got = waitpid(pid, &raw, flags);
    } while (got < 0 && errno == EINTR);
    if (got == 0)
        return false;
    if (got < 0)
        *status = P11_COMMAND_UNKNOWN;
    else
        *status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    return true;
}

int p11_command_end(struct p11_command *command, long ms)
{
    const struct timespec nap = { .tv_nsec = 5000000 /* 5 ms */ };
    int status;

    (void)close(command->fd);
    for (long waited = 0;; waited += 5) {
        if (ended(command->pid, WNOHANG, &status))
            return status;
        if (waited >= ms)
            break;
        (void)nanosleep(&nap, NULL);
    }
    (void)kill(-command->pid, SIGKILL);
    (void)ended(command->pid, 0, &status);
    return P11_COMMAND_LATE;
}
