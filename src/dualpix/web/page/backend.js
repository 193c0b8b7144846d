// The one door between the page and whatever computes. The page knows no address and no network: it asks a back end,
// which is a module of this folder that exports `open()`; the page's `data-backend` names it. `server.js` asks
// `dualpix web`. Tests hold every back end to this list.
//
//   open() -> Promise<Backend>                           may take a while; rejects with a Problem if it cannot run here
//
//   backend.features                                     what it can do; the page hides what is missing
//     where       a sentence: where the pictures are while the page works with them
//     formats     files a result can be saved as, of "png-16", "tif-16", "jpg-8"
//     ask_ms      milliseconds from one question for the state of a job to the next
//     resumes     whether `state(id)` still finds a job after the page was reloaded
//     parts       whether `keep` is understood: only a part made sharp
//     masks       whether `backend.mask` takes masks of the user's own
//     maps        kinds of maps that can be saved beside a result, of "depth-mask", "mask" (the one used), "metres",
//                 "disparity", "confidence"
//     metres      whether distances can be measured
//     refocus     whether `aperture`, `focus` and `focus_at` are, and whether there is a sweep to save
//
//   backend.limits() -> Promise<{ body_bytes, megapixels, kept_s }>      null for what has no limit
//   backend.begin(files, layout, onProgress) -> Promise<Job>
//     files       [left, right], or one file that holds both; File objects
//     layout      how one file holds both, "side-by-side" or "top-bottom"; undefined: it is seen in the file
//     onProgress  called with the share taken in, 0 to 1
//   backend.state(id) -> Promise<Job>                    asked again and again while a job is active
//   backend.command(job, verb) -> Promise<Job>           verb: "start" (deblur), "stop", "swap" (exchange the views)
//   backend.picture(job, name, wish) -> Promise<string>  what an <img> can show, until the job changes or is forgotten;
//                                                        it may still fail to load, if the picture cannot be made
//     name        "left", "right", "disparity" (in colours), "before" (the mean view), "preview" (the result),
//                 "planes" (disparity and confidence as `planes.js` decodes them; rejects or fails without)
//   backend.mask(job, file) -> Promise<Job>              only with `masks`: takes a mask, whose number is job.mask then
//   backend.distances(job, optics) -> Promise<{ told, notes, picture }>    only with `metres`
//     told        the median distance and the optics used, in words; notes: sentences
//     picture     a Blob that `distances.js` decodes: red x 65536 + green x 256 + blue is millimetres
//   backend.save(job, kind, wish) -> Promise<{ blob, ending }>           ending: of the file's name, as "sharp.png"
//     kind        "result", "sweep" (the focus moving), or one of `maps`
//   backend.forget(job) -> void                          everything of it is deleted; never fails
//
// A wish is a plain object with any of:
//   format "png" | "tif" | "jpg", depth 8 | 16, strength 0..1, keep (as `--keep-blur`), aperture, focus (disparity in
//   pixels), focus_at ("column,row" in the file), mask (the number of the user's own); and optics, as texts:
//   focus_distance, f_number, focal_length, sensor_width or pixel_pitch, rho, rho_fall
//
// A Job is a plain object, a new one for each state:
//   id          letters, digits, - and _
//   state       "checking", "ready", "waiting", "running", "done" or "failed"; active: checking, waiting, running
//   stopping    it will stop soon
//   version     counts the changes of its pictures
//   swap        the views were exchanged
//   bands_done, bands, seconds       of deblurring; bands is 0 until it is known
//   check       null until the views were compared: { verdict, odd: { kind: sentence }, width, height, quarter_turns,
//               scale_px, camera }, as `dualpix inspect --json` has them; camera: { focus_m, f_number, focal_mm, sensor_mm },
//               null for what the files do not say
//   notes       sentences for the user
//   plan        how the result was computed; null before
//   report      a sentence on what was changed; null before
//   refocus     null, or of a result that can be refocused: { low_px, high_px, orientation }
//   planes      there is a disparity of the result
//   mask        the number of the mask that was taken last; 0 if none was
//   fetched     the result was saved
//   problem     null, or the Problem that it failed by
//
// Whatever goes wrong is a Problem (`problems.js`).

export const open = async () => (await import(`./${document.documentElement.dataset.backend}.js`)).open();
