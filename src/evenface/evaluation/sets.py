"""The benchmarks that a command line names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from evenface.errors import UserError
from evenface.evaluation.benchmark import Benchmark
from evenface.evaluation.protocols.agedb import agedb
from evenface.evaluation.protocols.calfw_cplfw import Crop as LandmarkCrop
from evenface.evaluation.protocols.calfw_cplfw import calfw, cplfw
from evenface.evaluation.protocols.cfp import Crop as CfpCrop
from evenface.evaluation.protocols.cfp import Kind as CfpKind
from evenface.evaluation.protocols.cfp import cfp
from evenface.evaluation.protocols.ijb import ijb, ijba
from evenface.evaluation.protocols.insightface_bin import insightface_bin
from evenface.evaluation.protocols.lfw import Crop as LfwCrop
from evenface.evaluation.protocols.lfw import lfw
from evenface.evaluation.protocols.lfw_identification import lfw_identification
from evenface.evaluation.protocols.listed import listed
from evenface.evaluation.protocols.megaface import Noise, megaface
from evenface.evaluation.protocols.people_folder import people_folder
from evenface.evaluation.protocols.tinyface import tinyface
from evenface.evaluation.protocols.ytf import ytf
from evenface.evaluation.templates import Pooling


@dataclass(frozen=True)
class SetOptions:
    """Which sets, and the conventions that are theirs."""

    lfw: Path | None = None
    """Folder of LFW: pairs.txt and images/ (the aligned LFW-a, 160x160)."""
    lfw_1n: Path | None = None
    """Folder of LFW, for identification: closed set and open set."""
    lfw_crop: LfwCrop = "lfw-a"
    """lfw-a: one fixed transform of the 160x160 LFW-a pictures; template: already 112x112 on the template."""
    cfp: Path | None = None
    """Folder of CFP: Data/ and Protocol/."""
    cfp_crop: CfpCrop = "fiducials"
    """fiducials: aligned by CFP's own points; template: already 112x112 on the template."""
    calfw: Path | None = None
    """Folder of CALFW: pairs_CALFW.txt, pictures and landmarks."""
    cplfw: Path | None = None
    """Folder of CPLFW: pairs_CPLFW.txt, pictures and landmarks."""
    agedb: Path | None = None
    """Folder of AgeDB: 04_FINAL_protocol_30_years.mat and 03_Protocol_Images/ with its .pts files."""
    landmark_crop: LandmarkCrop = "landmarks"
    """Of CALFW, CPLFW, AgeDB. landmarks: aligned by the sets' own points; template: already on it."""
    bin: tuple[Path, ...] = ()
    """InsightFace's lfw.bin, agedb_30.bin, cfp_fp.bin, calfw.bin, cplfw.bin, vgg2_fp.bin."""
    pairs: tuple[Path, ...] = ()
    """Your own lists: lines `a b 1` or `a b 0`, or a .csv (a, b, same; perhaps fold, person_a, person_b)."""
    pairs_root: Path | None = None
    """What the pictures in them are relative to; by default the list's folder."""
    people: Path | None = None
    """Your own people, PEOPLE/<person>/<picture>: all pairs, closed set and open set."""
    people_enrol: int = 1
    """Of these, how many pictures of a person are in the gallery."""
    people_unknown: float = 0.5
    """Of these, the share of people whom the open set leaves out of the gallery; 0 for no open set."""
    ytf: Path | None = None
    """Folder of YTF: splits.txt, and frames in Name/1/ or Name/1.mp4, on the template."""
    ytf_frames: int | None = None
    """At most so many frames of a video, evenly spread; all by default."""
    megaface: Path | None = None
    """Folder of MegaFace: templatelists/, facescrub/ and megaface/, or stored embeddings as the model."""
    megaface_noise: Noise = "raw"
    """Pictures on the noise lists: left (raw), left out (drop), or replaced as InsightFace does."""
    ijbb: Path | None = None
    """Folder of IJB-B: meta/ and loose_crop/."""
    ijbc: Path | None = None
    """Folder of IJB-C: meta/ and loose_crop/."""
    ijba: Path | None = None
    """Folder of IJB-A: its splits, and crops/."""
    ijb_pooling: Pooling = "plain"
    """How much a face counts in its template, IJB's: alike, by detector score, by embedding norm."""
    tinyface: Path | None = None
    """Folder of TinyFace: Testing_Set/."""

    def open(self) -> Iterator[Benchmark]:
        """The sets that are named, one after the other.

        Raises:
            UserError: none is named, or one is not as it should be.
        """
        found = False
        for benchmark in self._each():
            found = True
            yield benchmark
        if not found:
            raise UserError("name at least one set to measure on, such as --lfw DIR; --help has them all")

    def _each(self) -> Iterator[Benchmark]:
        if self.lfw:
            yield lfw(self.lfw, self.lfw_crop)
        if self.lfw_1n:
            yield lfw_identification(self.lfw_1n, self.lfw_crop)
        if self.cfp:
            for kind in get_args(CfpKind):
                yield cfp(self.cfp, kind, self.cfp_crop)
        if self.calfw:
            yield calfw(self.calfw, self.landmark_crop)
        if self.cplfw:
            yield cplfw(self.cplfw, self.landmark_crop)
        if self.agedb:
            yield agedb(self.agedb, self.landmark_crop)
        for file in self.bin:
            yield insightface_bin(file)
        for file in self.pairs:
            yield listed(file, self.pairs_root)
        if self.people:
            yield people_folder(self.people, enrol=self.people_enrol, unknown=self.people_unknown)
        if self.ytf:
            yield ytf(self.ytf, self.ytf_frames)
        if self.megaface:
            yield megaface(self.megaface, self.megaface_noise)
        if self.ijbb:
            yield ijb(self.ijbb, "ijbb", self.ijb_pooling)
        if self.ijbc:
            yield ijb(self.ijbc, "ijbc", self.ijb_pooling)
        if self.ijba:
            yield ijba(self.ijba, self.ijb_pooling)
        if self.tinyface:
            yield tinyface(self.tinyface)
