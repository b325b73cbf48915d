"""The words of tables: what columns are called, what says present, absent, nothing and none, and how numbers look."""

import re

Words = tuple[str, ...] | frozenset[str]

# Words for each part of a data set: a column that divides a table, and a folder or a key, may use any of them.
PARTS = {
    "train": ("train", "training", "trn"), "val": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing", "tst"),
}  # fmt: skip
SHORT_PARTS = {"tr": "train", "va": "val", "te": "test"}  # which cells of a column hold, and no folder is called
SPLIT_FOLDERS = tuple(word for words in PARTS.values() for word in words)

IMAGE_COLUMNS = (
    "image", "path", "file", "file_name", "filename", "image_path", "image_name", "image_file", "img", "img_path",
    "filepath", "file_path", "image_url", "image index", "image_index", "imagename", "img_name", "imageid",
    "image_id", "id", "photo", "picture", "name", "dicom_id", "dicom", "sopinstanceuid", "sop_instance_uid",
)  # fmt: skip
LIST_COLUMNS = (
    "labels", "label", "tags", "tag", "target", "targets", "classes", "categories", "category", "class",
    "finding labels", "finding label", "attributes", "keywords", "label_names", "class_names", "label_ids", "class_ids",
    "attribute_ids", "tag_names", "class_labels", "image_labels",
)  # fmt: skip
# Names of a column of labels in a table without columns of 1 and 0, and without one that is called as in LIST_COLUMNS.
# The first are `label` and `class` in other languages, of which a column of 1 and 0 is in doubt as in English.
LABELS_ELSEWHERE = frozenset({
    "kategorie", "kategorien", "klasse", "klassen", "schlagw\u00f6rter", "etikett", "etiketten", "cat\u00e9gorie",
    "cat\u00e9gories", "\u00e9tiquette", "\u00e9tiquettes", "etiqueta", "etiquetas", "categor\u00eda",
    "categor\u00edas", "categoria", "categorias", "classe", "clase", "clases", "etichetta", "etichette", "\u6807\u7b7e",
    "\u7c7b\u522b", "\u6a19\u7c64", "\u30e9\u30d9\u30eb", "\u30bf\u30b0", "\ub77c\ubca8",
    "\u043c\u0435\u0442\u043a\u0430", "\u043c\u0435\u0442\u043a\u0438",
    "r\u00f3tulo", "r\u00f3tulos", "rotulo", "rotulos",
})  # fmt: skip
OTHER_LISTS = LABELS_ELSEWHERE | frozenset({
    "species",
    "annotation", "annotations", "classid", "labelid", "categoryid", "dx", "diagnosis",
    "diagnostic", "genre", "disease", "emotion", "finding",
    "findings",
})  # fmt: skip
# Ranks of animals and plants, of which `class` is one, and columns that name their kinds.
KINDS = frozenset({"genus", "species", "scientific_name", "common_name", "vernacular_name"})
RANKS = KINDS | {"kingdom", "phylum", "class", "order", "suborder", "family"}
# Those of them that hold class numbers, of which 0 and 1 then are two.
OF_CLASSES = frozenset({"classid", "labelid", "categoryid"})
# Columns that number classes, or the values of a mask, and name no image.
OF_CLASS_NUMBERS = OF_CLASSES | {"pixelvalue", "classindex", "classnumber", "classno", "labelindex"}
LONG_COLUMNS = ("labelname", "label_name", "label", "class", "class_name", "category", "category_name", "tag", "labels")
OF_LABELS = frozenset({*LIST_COLUMNS, *LONG_COLUMNS}) | OTHER_LISTS  # any of these
# What the name of a further column of labels may end in, `corrected_label`; COUNT_WORDS make it a count.
LABEL_WORDS = frozenset({
    "label", "labels", "tag", "tags", "class", "classes", "category", "categories", "keyword", "keywords",
})  # fmt: skip
# What the name of a further version of the labels may hold, or of labels that were seen to be absent.
OF_VERSIONS = frozenset({"gt", "groundtruth", "truth", "annotation", "annotations", "absent", "negative"})
# What columns of one kind of labels are told apart by, `animal` and `second_animal`.
RANKS_OF_LABELS = frozenset({
    "first", "second", "third", "primary", "secondary", "tertiary", "main", "other", "others", "further", "additional",
    "also", "more", "a", "b", "c",
})  # fmt: skip
MOST_FLAGS = 2  # columns of 1 and 0 beside one of words; more are as likely the labels
COUNT_WORDS = frozenset({"n", "num", "nr", "no", "number", "count", "total", "max", "min"})
# What a column of classes may also be called beside those of a box, as in Pascal VOC's objects made a table.
OBJECT_COLUMNS = ("name", "object", "object_name", "obj_name")
BOX_COLUMNS = ({"xmin", "ymin", "xmax", "ymax"}, {"x1", "y1", "x2", "y2"}, {"bbox"}, {"x", "y", "w", "h"})
# Columns of labels where one of CONFIDENCE_COLUMNS or ASSERTING stands beside; pandas' `melt` writes the first.
OF_MELTED = ("variable", "attribute", "property", "question", "finding", "feature")
CONFIDENCE_COLUMNS = (
    "confidence", "value", "present", "score", "conf", "probability", "prob", "certainty", "likelihood",
)  # fmt: skip
# Columns, and keys of objects, that say how sure a model is of a label, or of each of a list.
SCORES = ("score", "scores", "confidence", "confidences", "conf", "probability", "probabilities", "probs")
# Columns that say of a row whether the image has its label, where an image has several rows.
ASSERTING = frozenset({
    "answer", "exists", "is_present", "positive", "is_positive", "has", "has_label", "truth", "target", "correct",
    "is_correct",
})  # fmt: skip
# Columns that say with 1 that a row, or its label, does not hold.
NEGATING = frozenset({
    "absent", "is_absent", "negated", "negative", "is_negative", "wrong", "incorrect", "deleted", "is_deleted",
    "skipped", "skip", "rejected", "removed", "discarded",
})  # fmt: skip
# Those of them that say it of the image where it has one row.
OF_IMAGES_TOO = frozenset({"deleted", "is_deleted", "skipped", "skip", "rejected", "removed", "discarded"})
TRUTH = {
    "1": 1, "+1": 1, "true": 1, "yes": 1, "y": 1, "x": 1, "✓": 1, "✔": 1,
    "0": 0, "-0": 0, "false": 0, "no": 0, "n": 0, "✗": 0, "✘": 0,
    "-1": -1, "\u2212" "1": -1,  # with the minus sign of typesetters
}  # fmt: skip
# Other words for present and absent, which may as well be labels.
STATES = {
    "t", "f", "checked", "unchecked", "present", "absent", "positive", "negative", "pos", "neg", "unknown", "uncertain",
    "maybe", "definitely", "on", "off", "+", "-", "\u2705", "\u274c", "\u2611", "\u2610",
}  # fmt: skip
# True and false, yes and no, as spreadsheets and people write them in German, French, Spanish, Portuguese, Italian,
# Dutch, Polish, Swedish, Russian, Chinese, Japanese, Turkish, Czech, Finnish, Norwegian, Danish, Hungarian, Romanian,
# Greek, Ukrainian, Korean, Vietnamese, Indonesian, Arabic, Hindi and Hebrew, but for words that are labels in English.
TRUTH |= dict.fromkeys(
    ("wahr", "ja", "vrai", "oui", "verdadero", "sí", "si", "verdadeiro", "sim", "vero", "sì", "waar", "prawda", "tak",
     "sant", "истина", "да", "是", "真", "はい", "doğru", "evet", "pravda", "ano", "áno", "tosi", "kyllä", "sann",
     "igaz", "igen", "adevărat", "ναι", "так", "예", "네", "có", "ya", "نعم", "हाँ", "כן"), 1,
)  # fmt: skip
TRUTH |= dict.fromkeys(
    ("falsch", "nein", "faux", "non", "falso", "não", "nao", "onwaar", "nee", "fałsz", "nie", "falskt", "nej", "ложь",
     "нет", "否", "假", "偽", "いいえ", "falsk", "yanlış", "yanliş", "hayır", "hayir", "nepravda", "epätosi", "usann",
     "hamis", "nem", "όχι", "οχι", "ні", "아니오", "아니요", "không", "tidak", "لا", "नहीं", "לא"), 0,
)  # fmt: skip
FOLDER_COLUMNS = frozenset({
    "folder", "folder_name", "directory", "dir", "dirname", "dir_name", "subfolder", "subdir", "sub_folder", "parent",
    "image_folder", "image_dir", "ordner", "dossier", "carpeta",
})  # fmt: skip
# Columns that say something of the image: with 1 and 0 alone, or blank, they are as likely no label as one.
ABOUT_IMAGES = FOLDER_COLUMNS - {"parent"} | frozenset({
    "id", "index", "image_id", "patient_id", "patient id", "patientid", "study_id", "fold", "split", "sex", "gender",
    "age", "patient age", "patient gender", "follow-up #", "view position", "frontal/lateral", "ap/pa", "width",
    "height", "file_size", "is_valid", "is_train", "is_test", "note", "notes", "comment", "comments", "remark",
    "remarks", "author", "source", "date", "count", "valid", "val", "test", "holdout", "kfold", "annotator", "n_labels",
    "num_labels", "xmin", "ymin", "xmax", "ymax", "bbox", "partition", "subset", "phase", "weight", "weights",
    "sample_weight", "year", "timestamp", "latitude", "longitude", "total", "sum", "row_id", "sample_id", "case_id",
    "subject_id", "video_id", "frame_id", "iscrowd", "cv_fold", "difficult", "truncated", "occluded", "is_validation",
    "is_training", "laterality", "complete", "duplicate", "is_duplicate", "version",
    "batch", "site", "cluster", "channels", "rotation", "orientation", "excluded", "exclude",
})  # fmt: skip
# Columns that number the rows, as people and pandas call them.
OF_ROW_NUMBERS = frozenset({
    "nr", "no", "n\u00b0", "n\u00ba", "#", "s_no", "sr_no", "sl_no", "ser_no", "serial", "serial_no", "serial_number",
    "lfd_nr", "row", "row_no", "row_num", "row_number", "row_index", "index", "idx", "level_0", "__index_level_0__",
    "num", "number",
})  # fmt: skip
# Of ABOUT_IMAGES those that number or name parts of the data, whatever they hold.
OF_PARTS = frozenset({"fold", "kfold", "cv_fold", "is_train", "is_training", "is_test", "is_validation"})
# What the row of a table's sums, or means, has in place of an image.
SUMS = frozenset({
    "total", "totals", "grand total", "sum", "sums", "summe", "gesamt", "somme", "suma", "totale", "totaal", "razem",
    "\u0438\u0442\u043e\u0433\u043e", "\u5408\u8ba1", "\u603b\u8ba1", "\u5408\u8a08", "average", "mean", "count",
})  # fmt: skip
# Columns that are as well labels as facts of the image; `train` is one beside VEHICLES, `day` beside TIMES_OF_DAY.
MAY_BE_ABOUT = frozenset({
    "train", "page", "x", "y", "eye", "rank", "frame", "day", "camera", "scene", "group", "location", "device",
    "sensor", "hospital", "corrupt", "corrupted", "low_quality", "good_quality", "poor_quality", "bad_quality",
    "unsure", "ambiguous", "flipped", "mirrored", "rotated", "synthetic", "worker", "user", "reader", "observer",
    "coder", "unlabelled", "unlabeled",
})  # fmt: skip
VEHICLES = frozenset({"bus", "car", "truck", "boat", "bicycle", "aeroplane", "airplane", "plane", "tram"})
TIMES_OF_DAY = frozenset({"night", "dusk", "dawn", "twilight", "evening", "morning", "nighttime"})
PATTERNS = frozenset({"striped", "stripes", "plaid", "dotted", "dots", "floral", "plain", "solid", "checkered"})
# Columns of a time, which hold 1 alone where all is of January.
OF_TIMES = frozenset({"month", "hour", "week", "weekday", "dayofweek", "quarter", "minute", "session"})
# What was done with an image; columns are called so with `is` and `was` before or `by` behind as well.
OF_WORK = frozenset({
    "labelled", "labeled", "annotated", "unannotated", "checked", "unchecked", "verified",
    "reviewed", "approved", "validated", "audited", "inspected", "curated", "corrected", "usable", "unusable",
    "accepted", "rejected", "skipped", "deleted", "discarded", "excluded", "included", "selected", "ignored", "flagged",
    "done", "finished", "completed", "downloaded", "exported", "imported", "uploaded", "published", "archived",
    "augmented", "keep", "ignore", "include", "qc", "qa", "skip", "complete", "adjudicated", "agreed", "disagreed",
    "agreement", "disagreement", "consent", "consented", "bbox", "bboxes", "dataset", "cv", "part", "scanner", "read",
})  # fmt: skip
# What stands around these words, and around those for a part of the data.
AROUND_WORK = frozenset({
    "is", "was", "has", "been", "to", "be", "by", "not", "fully", "all", "label", "labels", "image", "images",
    "annotation", "annotations", "first", "second", "double",
})  # fmt: skip
AROUND_PARTS = frozenset({"in", "is", "for", "of", "set", "split", "subset", "data", "dataset", "only", "used"})
# Words that say so behind `is` alone.
BEHIND_IS = frozenset({"public", "private", "hidden", "active", "locked", "visible", "removed"})
# Columns that say of a row whether its label was kept or how often it was seen, and what they hold where it was not.
OF_ROWS = frozenset({
    "status", "state", "verdict", "decision", "review", "review_status", "approval", "votes", "vote", "n_votes",
    "num_votes", "count", "counts",
})  # fmt: skip
# What the names of others end in that say it in words, `AssignmentStatus`.
OF_ROWS_BEHIND = frozenset({"status", "state", "verdict", "decision", "review", "approval"})
NOT_KEPT = {
    "0", "rejected", "reject", "declined", "denied", "deleted", "removed", "discarded", "invalid", "wrong", "incorrect",
    "skipped", "abgelehnt",
}  # fmt: skip
# Columns of which no cell is a list of labels, though some look like one.
CAPTIONS = frozenset({"caption", "captions", "description", "text", "title"})
PROSE = ABOUT_IMAGES | CAPTIONS | {"url", "exif"}
# Columns that say how sure or how far along someone was: beside columns of labels they are as likely none as one.
OF_JUDGEMENT = frozenset({
    "status", "state", "score", "scores", "confidence", "conf", "probability", "prob", "certainty", "likelihood",
    "verified", "reviewed", "approved", "quality", "rating", "present", "value", "agreement", "done", "flagged",
})  # fmt: skip
# What the names of columns end in that say how sure someone was of another, `cat.confidence`.
SURE = re.compile(r"[\s._-](confidence|conf|scores?|prob|probability|certainty|likelihood)$", re.IGNORECASE)
# Columns that many images share a cell of: no image is named by them.
OF_WHOM = {
    "subject_id", "subject", "patient_id", "patient id", "patientid", "patient", "case_id", "study_id", "studyid",
}  # fmt: skip
OF_STUDIES = {"study_id", "studyid"}  # of which each may hold several images
# Columns of what several images share: a place, a device, a time.
GROUPS = frozenset({
    "group", "group_id", "scene", "scene_id", "location", "location_id", "camera", "camera_id", "session", "session_id",
    "site_id", "device", "device_id", "sensor", "sensor_id", "hospital", "hospital_id", "month", "day", "hour", "week",
})  # fmt: skip
# Columns of words that say where, when and how an image was taken, and no label.
OF_SCENES = GROUPS | OF_TIMES | frozenset({
    "weather", "city", "town", "country", "region", "state", "season", "view", "place", "site", "time_of_day", "light",
    "lighting", "brand", "model", "modality", "device_model", "manufacturer", "photographer", "license", "licence",
    "source", "dataset", "language", "surface", "habitat", "body_part", "sex", "gender",
})  # fmt: skip
# Words that stand for an empty list; ChestX-ray14 writes the first.
NO_LABEL = {
    "no finding", "no_finding", "no findings", "(none)", "no label", "no labels", "no_label", "none", "null",
    "nan", "-", "--", "\u2013", "\u2014",
}  # fmt: skip
# Words that may say that nobody knows the labels, or that there is none, and are labels of some sets.
MAY_BE_NONE = frozenset({
    "unknown", "unlabeled", "unlabelled", "unannotated", "not labeled", "not labelled", "todo", "tbd", "?", "??", "???",
    "empty", "nothing", "blank", "nil", "none of the above", "none of these", "undefined", "unsure", "can't tell",
    "cannot tell", "skip", ".", "background", "other/none", "n.a.", "k.a.", "0",
})  # fmt: skip
# Columns that say who looked at an image.
OF_PEOPLE = frozenset({
    "annotator", "annotator_id", "rater", "rater_id", "rad_id", "radiologist", "reader", "reader_id", "worker",
    "worker_id", "reviewer", "labeler", "labeller", "user", "user_id", "user_name", "expert", "observer", "coder",
})  # fmt: skip
ENTITY = re.compile(r"&(amp|lt|gt|quot|apos|nbsp|#\d+);")
SHORTENED = re.compile(r"\d([.,]\d+)?E\+\d+")  # as spreadsheets show long numbers
NUMERIC = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?%?", re.IGNORECASE)
OF_NUMBERS = re.compile(r"(^|[_\s.-])[iI][dD]$|[a-z]I[dD]$|%\)?$")  # `rater_id`, `RaterID`, `cat (%)`
IMAGE_NAME = re.compile(r"\.(jpe?g|png|webp|bmp|tiff?|gif|heic|ppm)$", re.IGNORECASE)
BROKEN = re.compile(
    r"(?<![^\W_])#(REF|VALUE|DIV/0|NAME|NULL|NUM|SPILL|CALC|BEZUG|WERT|ZAHL|VALEUR|NOM|NOMBRE|VALOR)[!?]"
)
FRACTION = re.compile(r"[+-]?\d*\.\d+(e[+-]?\d+)?", re.IGNORECASE)
WHOLE = re.compile(r"([+-]?\d+)\.0+(e[+-]?0+)?", re.IGNORECASE)  # `1.000e+00`, as NumPy writes 1
WHOLE_WITH_COMMA = re.compile(r"([+-]?\d+),0+")
