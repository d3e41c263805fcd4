// Imports and exports: the calls of the page Import & export.

import { ApiError, BASE, call, query } from "./client";
import type { Exported, ExportDraft, ImportBrief, Imported, ImportForm, Problem } from "./types";

export const exchange = {
  imports: () => call<{ imports: ImportBrief[] }>("GET", "/imports").then((r) => r.imports),
  import: (id: number) => call<Imported>("GET", `/imports/${id}`),
  check: (id: number, form: ImportForm) => call<Imported>("POST", `/imports/${id}/check`, { form }),
  start: (id: number, skip: boolean) => call<Imported>("POST", `/imports/${id}/start`, { skip_problems: skip }),
  step: (id: number, step: "pause" | "resume" | "cancel") => call<Imported>("POST", `/imports/${id}/${step}`),
  forget: (id: number) => call<void>("DELETE", `/imports/${id}`),
  upload,
  exports: () => call<{ exports: Exported[] }>("GET", "/exports").then((r) => r.exports),
  begin: (draft: ExportDraft) => call<Exported>("POST", "/exports", draft),
  remove: (id: number) => call<void>("DELETE", `/exports/${id}`),
};

/** The address of a file of an export. */
export const fileUrl = (id: number, name: string): string => `${BASE}/exports/${id}/files/${name.split("/").map(encodeURIComponent).join("/")}`;

/** Sends a file and tells how many bytes went; `fetch` does not say that. */
function upload(file: File, told: (bytes: number) => void, stop: AbortSignal): Promise<Imported> {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${BASE}/imports${query({ name: file.name })}`);
    request.setRequestHeader("X-Lineshaft", "1");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = (event) => told(event.loaded);
    request.onload = () => {
      const problem = (request.response ?? {}) as Partial<Problem>;
      if (request.status === 200) done(request.response as Imported);
      else fail(new ApiError(request.status, problem.code ?? "", problem.message ?? request.statusText, problem.hint ?? ""));
    };
    request.onerror = () => fail(new ApiError(0, "server.lost", "", ""));
    request.onabort = () => fail(stop.reason);
    stop.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
