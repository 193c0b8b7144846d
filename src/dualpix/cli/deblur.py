"""`dualpix deblur`: a pair, or a folder of pairs."""

import typer

from dualpix import __version__
from dualpix.cli import single
from dualpix.cli.folders import (
    AllowOutside,
    DryRun,
    Exclude,
    Format,
    Include,
    Many,
    OnRay,
    Part,
    ReportFile,
    ReportParts,
    Resume,
    WorkerCpus,
    WorkerGpus,
    deblur_many,
)
from dualpix.cli.maps import (
    ConfidenceFile,
    DepthMaskFile,
    DisparityFile,
    DisparityPicture,
    MaskOut,
    MetresFile,
    write_maps,
)
from dualpix.cli.optics import (
    FNumber,
    FocalLength,
    FocusDistance,
    GivenOptics,
    PixelPitch,
    Rho,
    RhoFall,
    SensorWidth,
)
from dualpix.cli.options import (
    Anyway,
    Device,
    Engine,
    Force,
    KeepBlur,
    Layout,
    Mask,
    Memory,
    Mirror,
    NoGuard,
    OnlyBlurred,
    Overwrite,
    Precision,
    Scale,
    Strength,
    Swap,
    Turn,
    Weights,
)
from dualpix.cli.single import Depth, LeftView, Output, RightView, StripMetadata
from dualpix.machine.urls import as_location


def deblur(
    left: LeftView,
    output: Output,
    right: RightView = None,
    layout: Layout = None,
    swap: Swap = False,
    turn: Turn = "auto",
    weights: Weights = None,
    overwrite: Overwrite = False,
    memory: Memory = None,
    precision: Precision = "auto",
    device: Device = "auto",
    engine: Engine = "auto",
    mirror: Mirror = False,
    scale: Scale = "auto",
    strength: Strength = 1.0,
    keep_blur: KeepBlur = None,
    mask: Mask = None,
    mask_out: MaskOut = None,
    depth: Depth = None,
    strip_metadata: StripMetadata = False,
    force: Force = False,
    anyway: Anyway = False,
    dry_run: DryRun = False,
    include: Include = None,
    exclude: Exclude = None,
    resume: Resume = False,
    report: ReportFile = None,
    parts: ReportParts = None,
    shard: Part = None,
    suffix: Format = None,
    allow_outside: AllowOutside = False,
    no_guard: NoGuard = False,
    only_blurred: OnlyBlurred = False,
    disparity: DisparityFile = None,
    disparity_picture: DisparityPicture = None,
    confidence: ConfidenceFile = None,
    depth_mask: DepthMaskFile = None,
    metres: MetresFile = None,
    focus_distance: FocusDistance = None,
    f_number: FNumber = None,
    focal_length: FocalLength = None,
    pixel_pitch: PixelPitch = None,
    sensor_width: SensorWidth = None,
    rho: Rho = None,
    rho_fall: RhoFall = None,
    ray: OnRay = None,
    worker_cpus: WorkerCpus = None,
    worker_gpus: WorkerGpus = None,
) -> None:
    """Deblur a pair: two views in, one sharp picture out; or a folder of pairs, or all that a list names.

    LEFT may also be a folder of pairs, or that of the left views, with that of the right ones as RIGHT, a pattern in
    quotes such as 'trip/*_L.tif', or a list of pairs (.csv, .jsonl). OUT is then a folder.

    Every file and folder may be a URL: s3://BUCKET/FOLDER, gs://, az://, sftp://HOST/FOLDER.

    Views are PNG, TIFF, JPEG, WebP, JPEG XL, AVIF, HEIF, PGM or PPM files; `dualpix extract --help` says what files
    may hold both.

    \b
    Examples:
      dualpix deblur left.png right.png -o sharp.png
      dualpix deblur photo.CR3 -o sharp.tif
      dualpix deblur pairs -o sharp --resume
    """
    single.check_output_and_depth(output, depth)
    many = Many(dry_run, include, exclude, resume, report, shard, allow_outside, parts, ray, worker_cpus, worker_gpus)
    given = GivenOptics(focus_distance, f_number, focal_length, pixel_pitch, sensor_width, rho, rho_fall)
    given.check(metres)
    is_many = many.check(left, right, suffix)
    from dualpix.inference.maps import Maps, find_maps
    from dualpix.inference.options import DeblurOptions

    options = DeblurOptions(
        memory=memory,
        precision=precision,
        device=device,
        engine=engine,
        mirror=mirror,
        scale=scale,
        strength=strength,
        keep_blur=keep_blur,
        mask=mask,
        depth=depth,
        strip_metadata=strip_metadata,
        force=force or anyway,
        layout=layout,
        swap=swap,
        turn=turn,
        software=f"dualpix {__version__}",
        guard=not no_guard,
        only_blurred=only_blurred,
    )
    maps = Maps(
        disparity=disparity,
        disparity_picture=disparity_picture,
        confidence=confidence,
        depth_mask=depth_mask,
        metres=metres,
        mask_out=mask_out,
        optics=given.known(),
    )
    maps.check_options(options)
    if is_many:
        deblur_many(left, right, as_location(output), weights, options, many, overwrite, suffix, maps)
        return
    from dualpix.inference.pipeline import name_output
    from dualpix.pairs import usual_suffix
    from dualpix.weights import checkpoint

    path = name_output(output, left, right, usual_suffix(left, layout))
    opened = checkpoint.load(weights or checkpoint.DEFAULT_WEIGHTS)
    inputs = [path for path in (left, right, mask) if path is not None]
    maps.check_files(inputs, overwrite, path)
    maps.check_network(opened)
    pair, inherited = single.read(path, left, right, opened, options, overwrite)
    optics = maps.optics_of(pair)
    done, made = single.make(path, pair, inherited, opened, options, overwrite)
    typer.echo(f"{made} ({done.plan})")
    write_maps(maps, find_maps(maps, pair, opened, options, optics, done), inherited.metadata, overwrite)
