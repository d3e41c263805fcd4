/* A co-simulation FMU of our own: y' = (gain u - y) / tau, and ways to go wrong, chosen by `mode`.
 *
 * Compiled twice, with -DFMI=2 and -DFMI=3. The functions that it does not need are put after it by
 * forge.py, since every function of the standard must be there.
 */
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>

enum { OK, WARNING, DISCARD, ERROR };
enum { GOOD, HANGS, SEGV, GREEDY, FAILS, NANS, PRINTS, EXITS, ENDS, LURKS, OUTSIDE, STARTS, FORKS };
enum { U, Y, GAIN, TAU, COUNT, N, SWITCH, IS_ON, MODE, VECTOR, DOUBLE };

typedef struct {
    double u, y, gain, tau, t, vector[3];
    int32_t n, count, mode;
    bool is_on;
} Lag;

typedef void (*Logger)(void *, const char *, int, const char *, const char *, ...);
typedef void (*Logger3)(void *, int, const char *, const char *);
static void *environment;

static Lag *make(void) {
    Lag *lag = calloc(1, sizeof *lag);
    lag->gain = 1;
    lag->tau = 2;
    return lag;
}

static int advance(Lag *lag, double t, double dt) {
    lag->t = t + dt;
    double target = lag->gain * lag->u;
    lag->y = target + (lag->y - target) * exp(-dt / lag->tau);
    lag->count = 2 * lag->n;
    if (t + dt < 1) return OK;
    switch (lag->mode) {
    case HANGS: for (;;) pause();
    case SEGV: return *(volatile int *)0;
    case GREEDY: for (;;) memset(malloc(1 << 20), 1, 1 << 20);
    case LURKS:
        for (int i = 0; i < 1 << 14; i++) if (!malloc(1 << 20)) return ERROR;
        return OK;
    case FAILS: return ERROR;
    case NANS: lag->y = NAN; return OK;
    case PRINTS:
        puts("hello on the pipe");
        fflush(stdout);
        return write(1, "hello", 5) == 5 && read(0, &lag->is_on, 1) == 0 ? OK : ERROR;
    case EXITS: _exit(7);
    case ENDS: return DISCARD;
    case OUTSIDE: return socket(AF_INET, SOCK_STREAM, 0) < 0 ? OK : ERROR;
    case STARTS: return execl("/bin/true", "true", (char *)0) < 0 && kill(getppid(), 0) < 0 ? OK : ERROR;
    case FORKS:
        if (fork() == 0) for (;;) pause();
        for (;;) pause();
    }
    return OK;
}

static double *real(Lag *lag, unsigned which) {
    switch (which) {
    case U: return &lag->u;
    case Y: return &lag->y;
    case GAIN: return &lag->gain;
    case TAU: return &lag->tau;
    }
    return NULL;
}

static int32_t *integer(Lag *lag, unsigned which) {
    return which == MODE ? &lag->mode : which == N ? &lag->n : &lag->count;
}

#define EACH for (size_t i = 0; i < n; i++)

#if FMI == 2

typedef struct { Logger logger; } Callbacks;

void *fmi2Instantiate(const char *name, int kind, const char *guid, const char *resources,
                      const Callbacks *callbacks, int visible, int logging) {
    callbacks->logger(environment, name, WARNING, "info", "made %s of kind %d", name, kind);
    return strcmp(guid, "{ours}") ? NULL : make();
}
void fmi2FreeInstance(void *c) { free(c); }
int fmi2SetupExperiment(void *c, int has, double tolerance, double t, int stops, double stop) {
    ((Lag *)c)->t = t;
    return OK;
}
int fmi2EnterInitializationMode(void *c) { return OK; }
int fmi2ExitInitializationMode(void *c) { return OK; }
int fmi2Terminate(void *c) { return OK; }
int fmi2SetReal(void *c, const unsigned *r, size_t n, const double *v) {
    EACH *real(c, r[i]) = v[i];
    return OK;
}
int fmi2GetReal(void *c, const unsigned *r, size_t n, double *v) {
    EACH v[i] = *real(c, r[i]);
    return OK;
}
int fmi2SetInteger(void *c, const unsigned *r, size_t n, const int *v) {
    EACH *integer(c, r[i]) = v[i];
    return OK;
}
int fmi2GetInteger(void *c, const unsigned *r, size_t n, int *v) {
    EACH v[i] = *integer(c, r[i]);
    return OK;
}
int fmi2SetBoolean(void *c, const unsigned *r, size_t n, const int *v) {
    EACH ((Lag *)c)->is_on = v[i];
    return OK;
}
int fmi2GetBoolean(void *c, const unsigned *r, size_t n, int *v) {
    EACH v[i] = ((Lag *)c)->is_on;
    return OK;
}
int fmi2DoStep(void *c, double t, double dt, int none) { return advance(c, t, dt); }
int fmi2GetBooleanStatus(void *c, int kind, int *v) { *v = 1; return OK; }
int fmi2GetRealStatus(void *c, int kind, double *v) { *v = ((Lag *)c)->t; return OK; }
int fmi2GetFMUstate(void *c, void **state) {
    *state = memcpy(malloc(sizeof(Lag)), c, sizeof(Lag));
    return OK;
}
int fmi2SetFMUstate(void *c, void *state) { memcpy(c, state, sizeof(Lag)); return OK; }
int fmi2FreeFMUstate(void *c, void **state) { free(*state); *state = NULL; return OK; }
int fmi2SerializedFMUstateSize(void *c, void *state, size_t *size) { *size = sizeof(Lag); return OK; }
int fmi2SerializeFMUstate(void *c, void *state, char *to, size_t n) { memcpy(to, state, n); return OK; }
int fmi2DeSerializeFMUstate(void *c, const char *from, size_t n, void **state) {
    if (n != sizeof(Lag)) return ERROR;
    *state = memcpy(malloc(n), from, n);
    return OK;
}

#else

static int vector(Lag *lag, unsigned which, double *to) {
    for (int i = 0; i < 3; i++) to[i] = which == DOUBLE ? 2 * lag->vector[i] : lag->vector[i];
    return 3;
}

void *fmi3InstantiateCoSimulation(const char *name, const char *token, const char *resources,
                                  bool visible, bool logging, bool events, bool early,
                                  const unsigned *wanted, size_t n, void *env, Logger3 logger,
                                  void *update) {
    logger(env, WARNING, "info", "made");
    return strcmp(token, "{ours}") ? NULL : make();
}
void fmi3FreeInstance(void *c) { free(c); }
int fmi3EnterInitializationMode(void *c, bool has, double tolerance, double t, bool stops, double stop) {
    ((Lag *)c)->t = t;
    return OK;
}
int fmi3ExitInitializationMode(void *c) { return OK; }
int fmi3Terminate(void *c) { return OK; }
int fmi3SetFloat64(void *c, const unsigned *r, size_t n, const double *v, size_t m) {
    EACH if (r[i] == VECTOR) { memcpy(((Lag *)c)->vector, v, 24); v += 3; }
    else *real(c, r[i]) = *v++;
    return OK;
}
int fmi3GetFloat64(void *c, const unsigned *r, size_t n, double *v, size_t m) {
    EACH if (r[i] >= VECTOR) v += vector(c, r[i], v);
    else *v++ = *real(c, r[i]);
    return OK;
}
int fmi3SetInt32(void *c, const unsigned *r, size_t n, const int32_t *v, size_t m) {
    EACH *integer(c, r[i]) = v[i];
    return OK;
}
int fmi3GetInt32(void *c, const unsigned *r, size_t n, int32_t *v, size_t m) {
    EACH v[i] = *integer(c, r[i]);
    return OK;
}
int fmi3SetBoolean(void *c, const unsigned *r, size_t n, const bool *v, size_t m) {
    EACH ((Lag *)c)->is_on = v[i];
    return OK;
}
int fmi3GetBoolean(void *c, const unsigned *r, size_t n, bool *v, size_t m) {
    EACH v[i] = ((Lag *)c)->is_on;
    return OK;
}
int fmi3DoStep(void *c, double t, double dt, bool none, bool *events, bool *ended, bool *early,
               double *reached) {
    int status = advance(c, t, dt);
    *events = *early = false;
    *ended = status == DISCARD;
    *reached = ((Lag *)c)->t;
    return *ended ? OK : status;
}
int fmi3GetFMUState(void *c, void **state) {
    *state = memcpy(malloc(sizeof(Lag)), c, sizeof(Lag));
    return OK;
}
int fmi3SetFMUState(void *c, void *state) { memcpy(c, state, sizeof(Lag)); return OK; }
int fmi3FreeFMUState(void *c, void **state) { free(*state); *state = NULL; return OK; }
int fmi3SerializedFMUStateSize(void *c, void *state, size_t *size) { *size = sizeof(Lag); return OK; }
int fmi3SerializeFMUState(void *c, void *state, char *to, size_t n) { memcpy(to, state, n); return OK; }
int fmi3DeserializeFMUState(void *c, const char *from, size_t n, void **state) {
    if (n != sizeof(Lag)) return ERROR;
    *state = memcpy(malloc(n), from, n);
    return OK;
}

#endif
