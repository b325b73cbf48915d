"""Cases of test_odd_tables.py: tables of other countries, of R and pandas, of survey and labelling tools."""

import gzip
import io
import itertools
import zipfile

P, N, U = 1, -1, 0


def rows_of(*cells: str) -> str:
    """Rows of a table, an image each; their images are numbered."""
    return "".join(f"{number}.jpg,{cell}\n" for number, cell in enumerate(cells))


PLANTS = ("Fat Hen", "Cleavers", "Common wheat", "Common Chickweed", "Loose Silky-bent")
ATTRIBUTES = ["a1", "a2", "a3", "a4", "a5", "a6", "a7"]
COMBINED = [" ".join(each) for size in (2, 5) for each in itertools.combinations(ATTRIBUTES, size)]


def zipped() -> bytes:
    """A ZIP archive of one table."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("t.csv", "image,cat\na.jpg,1\n")
    return held.getvalue()


# Name: file name, content, images, labels, states of the images in order.
READ = {
    "numbered folds of few images": (
        "t.csv", "image,cat,dog,fold\na,1,0,0\nb,0,1,1\nc,1,1,2\nd,0,1,0\n", list("abcd"), ["cat", "dog"], [[P, N], [N, P], [P, P], [N, P]],
    ),
    "which rows train": ("t.csv", "image,cat,dog,is_train\na,1,0,True\nb,0,1,False\n", ["a", "b"], ["cat", "dog"], [[P, N], [N, P]]),
    **{
        f"rows numbered under {name}": (
            "t.csv", f"{name},picture_of,cat,dog\n1,a.jpg,1,0\n2,b.jpg,0,1\n3,c.jpg,1,1\n", ["a.jpg", "b.jpg", "c.jpg"], ["cat", "dog"], [[P, N], [N, P], [P, P]],
        )
        for name in ("nr", "no", "No.", "S.No", "Sr. No", "Sl No", "#", "Unnamed: 0", "__index_level_0__", "index", "level_0", "row_number")
    },
    **{
        f"two rows numbered under {name}": ("t.csv", f"{name},image,cat\n0,a.jpg,1\n1,b.jpg,0\n", ["a.jpg", "b.jpg"], ["cat"], [[P], [N]])
        for name in ("nr", "No.", "__index_level_0__", "index", "level_0")
    },
    "numbers of rows before names without endings": ("t.csv", "Nr,Bild,Hund\n1,a,1\n2,b,0\n3,c,1\n", list("abc"), ["Hund"], [[P], [N], [P]]),
    "images by the numbers of their rows": ("t.csv", "no,cat,dog\n1,1,0\n2,0,1\n", ["1", "2"], ["cat", "dog"], [[P, N], [N, P]]),
    "yes and no": ("t.csv", "image,yes,no\na,1,0\nb,0,1\nc,1,0\n", list("abc"), ["yes", "no"], [[P, N], [N, P], [P, N]]),
    "a list and columns that say the same": (
        "t.csv", "Id,Genre,Action,Drama,N/A\na,\"['Action', 'N/A']\",1,0,1\nb,['Drama'],0,1,0\nc,[],0,0,0\n", list("abc"), ["Action", "Drama", "N/A"],
        [[P, N, P], [N, P, N], [N, N, N]],
    ),
    "names between blanks and columns that say the same": (
        "t.csv", "Image_Name,Classes,bus,tour bus,boat\na,tour bus boat,0,1,1\nb,bus tour bus,1,1,0\nc,bus,1,0,0\n", list("abc"), ["bus", "tour bus", "boat"],
        [[N, P, P], [P, P, N], [P, N, N]],
    ),
    "numbers and names of classes": (
        "t.csv", "image,class_id,class_name\na,0,cat\nb,1,dog\n", ["a", "b"], ["cat", "dog"], [[P, N], [N, P]],
    ),
    "findings beside blank columns": (
        "t.csv", "patientid,offset,finding,survival,view,imagename\nA,,,,PA,a.png\nB,,COVID-19,,PA,b.png\nC,,No finding,,AP,c.png\nD,,COVID-19,,AP,d.png\n",
        ["a.png", "b.png", "c.png", "d.png"], ["COVID-19"], [[N], [P], [N], [P]],
    ),
    "boxes before the number of their image": (
        "t.csv", "x1,y1,x2,y2,class_name,subset,image_index\n1,2,3,4,cat,1,0\n1,2,3,4,dog,1,0\n2,2,3,4,dog,1,1\n", ["0", "1"], ["cat", "dog"],
        [[P, P], [N, P]],
    ),
    "the only column called as one of labels": (
        "t.csv", "image_number,new_filename,disease_label,original_filename\n1,a.jpg,cataract,IMG1\n2,b.jpg,normal,IMG2\n7,c.jpg,normal,IMG3\n",
        ["a.jpg", "b.jpg", "c.jpg"], ["cataract", "normal"], [[P, N], [N, P], [N, P]],
    ),
    "cells of blood": (
        "t.csv", "filename,cell_type,xmin,xmax,ymin,ymax\na.jpg,WBC,1,2,3,4\na.jpg,RBC,1,2,3,4\nb.jpg,RBC,1,2,3,4\n", ["a.jpg", "b.jpg"], ["RBC", "WBC"],
        [[P, P], [P, N]],
    ),
    "images and words": (
        "l.txt", "a.jpg cat\nb.jpg dog cat\nc.jpg\nd.jpg dog\ne.jpg cat dog\n", ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"], ["cat", "dog"],
        [[P, N], [P, P], [N, N], [N, P], [P, P]],
    ),
    "a label called as a column of images is": (
        "t.csv", "PetID,dog,photo\n8f,1,\n9e,,1\n7c,1,1\n", ["8f", "9e", "7c"], ["dog", "photo"], [[P, N], [N, P], [P, P]],
    ),
    "pascal voc's objects as a table": (
        "t.csv", ",filename,name,pose,truncated,difficult,xmin,ymin,xmax,ymax\n0,a.jpg,cat,Left,0,1,1,2,3,4\n1,a.jpg,dog,Left,1,0,1,2,3,4\n2,b.jpg,dog,Right,0,0,1,2,3,4\n",
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, P]],
    ),
    "diseases of the skin beside facts": (
        "t.csv", "lesion_id,image_id,dx,dx_type,age,sex,localization\nH1,I1,nv,histo,80,male,scalp\nH1,I2,nv,histo,80,male,scalp\nH2,I3,mel,follow,75,male,ear\n",
        ["I1", "I2", "I3"], ["mel", "nv"], [[N, P], [N, P], [P, N]],
    ),
    "grades beside facts": (
        "t.csv", "id_code,diagnosis,site,age\n" + "".join(f"a{n},{g},x,{40 + n}\n" for n, g in enumerate("0120002103")),
        [f"a{n}" for n in range(10)], list("0123"), [[P if g == str(k) else N for k in range(4)] for g in "0120002103"],
    ),
    "individuals": (
        "t.csv", "Image,Id\na.jpg,w_1\nb.jpg,new_whale\nc.jpg,w_1\n", ["a.jpg", "b.jpg", "c.jpg"], ["new_whale", "w_1"],
        [[N, P], [P, N], [N, P]],
    ),
    "boxes and outlines beside a list": (
        "t.json", '[{"file_name": "a.jpg", "syms": ["cat", "dog"], "boxes": [[1, 2, 3, 4], [5, 6, 7, 8]], "polygons": [[[1, 2]], []]},'
                  ' {"file_name": "b.jpg", "syms": [], "boxes": [], "polygons": []}]',
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, N]],
    ),
    "breeds alone": ("t.csv", "id,breed\na,pug\nb,dingo\nc,dingo\n", ["a", "b", "c"], ["dingo", "pug"], [[N, P], [P, N], [P, N]]),
    "plants of several words": (
        "t.csv", "file,species\n" + rows_of(*PLANTS * 5), [f"{n}.jpg" for n in range(25)], sorted(PLANTS),
        [[P if name == plant else N for name in sorted(PLANTS)] for plant in PLANTS * 5],
    ),
    "attributes in many combinations": (
        "t.csv", "image,tags\n" + rows_of(*COMBINED), [f"{n}.jpg" for n in range(42)], ATTRIBUTES,
        [[P if word in cell else N for word in ATTRIBUTES] for cell in COMBINED],
    ),
    **{
        f"grades under {name}": (
            "t.csv", f"image,{name}\n" + rows_of(*"0120002103"), [f"{n}.jpg" for n in range(10)], list("0123"),
            [[P if grade == str(k) else N for k in range(4)] for grade in "0120002103"],
        )
        for name in ("level", "diagnosis", "severity", "rating", "healthy", "age_group", "genre_id")
    },
    "regions of VGG Image Annotator": (
        "via.csv", "#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
        'a.jpg,9,"{}",2,0,"{}","{""kind"":""cat""}"\na.jpg,9,"{}",2,1,"{}","{""kind"":""dog""}"\nb.jpg,9,"{""caption"":""x""}",0,0,"{}","{}"\n',
        ["a.jpg", "b.jpg"], ["cat", "dog"], [[P, P], [N, N]],
    ),
    "mxnet's classes": ("t.lst", "0\t0\tx/a.jpg\n1\t2.000000\tb c.jpg\n", ["x/a.jpg", "b c.jpg"], list("012"), [[P, N, N], [N, N, P]]),
    "mxnet's flags": ("t.lst", "0\t1\t0\t1\ta.jpg\n5\t0\t0\t0\tb.jpg\n", ["a.jpg", "b.jpg"], list("012"), [[P, N, P], [N, N, N]]),
    "mxnet's boxes": (
        "t.lst", "0\t2\t5\t1\t0.1\t0.2\t0.5\t0.9\t0\t0\t0\t1\t1\ta.jpg\n1\t2\t5\tb.jpg\n", ["a.jpg", "b.jpg"], list("01"), [[P, P], [N, N]],
    ),
    "keras-yolo3": (
        "train.txt", "img/a.jpg 10,20,30,40,0 5,6,7,8,2\nimg/b.jpg 10,20,30,40,2\nimg/c.jpg\n",
        ["img/a.jpg", "img/b.jpg", "img/c.jpg"], ["0", "1", "2"], [[P, N, P], [N, N, P], [N, N, N]],
    ),
    "keras-yolo3, one box clipped": (
        "train.txt", "img/a.jpg 10,20,30,40,0 5,6,7,8,2\nimg/b.jpg 10,0,30,0,1\n", ["img/a.jpg", "img/b.jpg"], ["0", "1", "2"],
        [[P, N, P], [N, P, N]],
    ),
    "five flags": ("l.txt", "a.jpg 0,1,0,1,1\nb.jpg 0,0,1,1,0\n", ["a.jpg", "b.jpg"], list("01234"), [[N, P, N, P, P], [N, N, P, P, N]]),
    "stack overflow": ("t.csv", "image,tags\na.jpg,<cat><dog>\nb.jpg,<cat>\nc.jpg,\n", ["a.jpg", "b.jpg", "c.jpg"], ["cat", "dog"], [[P, P], [P, N], [N, N]]),
    "a label of two words in company": (
        "t.csv", "image,labels\na.jpg,fire truck;dog\nb.jpg,fire truck\nc.jpg,truck;fire\n",
        ["a.jpg", "b.jpg", "c.jpg"], ["dog", "fire", "fire truck", "truck"], [[P, N, P, N], [N, N, P, N], [N, P, N, P]],
    ),
    "unbroken blanks between words": (
        "t.csv", "image,labels\na.jpg,cat\u00a0dog\nb.jpg,cat\nc.jpg,dog\nd.jpg,dog cat\n",
        ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], ["cat", "dog"], [[P, P], [P, N], [N, P], [P, P]],
    ),
    "a list of numbers below a comment": (
        "l.txt", "# by Ann\na.jpg 0 2\n# b.jpg 1\nc.jpg 1\n", ["a.jpg", "c.jpg"], list("012"), [[P, N, P], [N, P, N]],
    ),
    "a list of words below a comment": ("l.txt", "#list\na.jpg cat\n#1.jpg owl\nb.jpg cat,owl\n", ["a.jpg", "#1.jpg", "b.jpg"], ["cat", "owl"], [[P, N], [N, P], [P, P]]),
    "as many cells as labels": (
        "l.csv", "a.jpg,cat,hot dog\nb.jpg\nc.jpg,hot dog\n", ["a.jpg", "b.jpg", "c.jpg"], ["cat", "hot dog"], [[P, P], [N, N], [N, P]],
    ),
    "labels behind a colon": ("l.txt", "a.jpg: cat, dog\nb.jpg:\nc.jpg: dog\n", ["a.jpg", "b.jpg", "c.jpg"], ["cat", "dog"], [[P, P], [N, N], [N, P]]),
    "a label behind a colon": ("l.txt", "a.jpg: cat\nb.jpg: dog\nc.jpg:\n", ["a.jpg", "b.jpg", "c.jpg"], ["cat", "dog"], [[P, N], [N, P], [N, N]]),
    "arabic commas": ("t.csv", "image,labels\na.jpg,\u0642\u0637\u060c \u0643\u0644\u0628\nb.jpg,\u0642\u0637\n", ["a.jpg", "b.jpg"], ["\u0642\u0637", "\u0643\u0644\u0628"], [[P, P], [P, N]]),
    "boxes at 1 and 0": ("t.csv", 'img,x1,y1,x2,y2,class_name\na,1,0,1,4,"car, red"\nb,,,,,\n', ["a", "b"], ["car, red"], [[P], [N]]),
    "boxes with several categories each": (
        "t.csv", "image,BBox,Categories,Age\na,\"[1, 2, 3, 4]\",\"['cat', 'dog']\",9\na,\"[5, 6, 7, 8]\",['owl'],8\nb,\"[1, 2, 3, 4]\",['dog'],7\n",
        ["a", "b"], ["cat", "dog", "owl"], [[P, P, P], [N, P, N]],
    ),
    **{
        f"boxes with several labels each, {name}": (
            "t.csv", f"image,{column},xmin,ymin,xmax,ymax\na,{both},1,2,3,4\na,owl,1,2,3,4\nb,dog,1,2,3,4\nc,cat,1,2,3,4\n",
            ["a", "b", "c"], ["cat", "dog", "owl"], [[P, P, P], [N, P, N], [P, N, N]],
        )
        for name, column, both in (
            ("semicolons", "label", "cat;dog"), ("bars", "label", "cat|dog"), ("commas", "label", '"cat,dog"'), ("commas under a plural", "labels", '"cat,dog"'),
        )
    },
    "boxes in JSON with several labels each": (
        "t.jsonl", '{"image": "a", "bbox": [1, 2, 3, 4], "labels": ["cat", "dog"]}\n{"image": "a", "bbox": [1, 2, 3, 4], "labels": ["owl"]}\n',
        ["a"], ["cat", "dog", "owl"], [[P, P, P]],
    ),
    "empty brackets beside lists without": ("t.csv", "image,labels\na,cat;dog\nb,[]\nc,dog\n", ["a", "b", "c"], ["cat", "dog"], [[P, P], [N, N], [N, P]]),
    "bytes of numpy": ("t.csv", "image,labels\na,\"[b'cat', b'dog']\"\nb,[b'dog']\n", ["a", "b"], ["cat", "dog"], [[P, P], [N, P]]),
    **{
        f"labels between {sign!a}": ("t.csv", f"image,labels\na,cat{sign}dog\nb,cat\n", ["a", "b"], ["cat", "dog"], [[P, P], [P, N]])
        for sign in ("\x0b", "\x1d", "\u2028")
    },
    "no findings": ("t.csv", "image,labels\na,cat;dog\nb,No findings\n", ["a", "b"], ["cat", "dog"], [[P, P], [N, N]]),
    "1 and 0 as numpy writes them": ("t.csv", "image,cat,dog\na,1.000e+00,0.000e+00\nb,0.000e+00,1.000e+00\n", ["a", "b"], ["cat", "dog"], [[P, N], [N, P]]),
    "a word beside lists in JSON": (
        "t.json", '[{"SourceFile": "a.jpg", "Keywords": ["cat", "dog"]}, {"SourceFile": "b.jpg", "Keywords": "dog"}, {"SourceFile": "c.jpg"}]',
        ["a.jpg", "b.jpg", "c.jpg"], ["cat", "dog"], [[P, P], [N, P], [N, N]],
    ),
    "NA in rows": ("t.csv", "image,label\na,cat\na,dog\nb,NA\n", ["a", "b"], ["cat", "dog"], [[P, P], [N, N]]),
    "years of cars": ("t.csv", "image,labels\na.jpg,Audi (2012);BMW (2010)\nb.jpg,Audi (2012)\n", ["a.jpg", "b.jpg"], ["Audi (2012)", "BMW (2010)"], [[P, P], [P, N]]),
    "R's names of rows": ("t.csv", '"image","cat"\n"1","a.jpg",1\n"2","b.jpg",0\n', ["a.jpg", "b.jpg"], ["cat"], [[P], [N]]),
    "R's rows of a part": ("t.csv", '"","image","cat"\n"3","a.jpg",1\n"1","b.jpg",0\n', ["a.jpg", "b.jpg"], ["cat"], [[P], [N]]),
    "two indices, shuffled": ("t.csv", "Unnamed: 0.1,Unnamed: 0,image,cat\n1,5,a.jpg,1\n0,1,b.jpg,0\n", ["a.jpg", "b.jpg"], ["cat"], [[P], [N]]),
    "images named by an index alone": ("t.csv", ",cat,dog\n1001,1,0\n1007,0,1\n", ["1001", "1007"], ["cat", "dog"], [[P, N], [N, P]]),
    "roboflow's boxes, one an image": (
        "_annotations.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,640,640,traffic light,1,2,3,4\nb.jpg,640,640,cat,1,2,3,4\n",
        ["a.jpg", "b.jpg"], ["cat", "traffic light"], [[N, P], [P, N]],
    ),
    "a list under a name in one word": ("t.csv", "ImageId,LabelNames\n1,cat|dog\n2,cat\n", ["1", "2"], ["cat", "dog"], [[P, P], [P, N]]),
    "sides of one person": ("t.csv", "image,glaucoma\n1_left.jpg,0\n1_right.jpg,1\n2_left.jpg,0\n2_right.jpg,0\n", ["1_left.jpg", "1_right.jpg", "2_left.jpg", "2_right.jpg"], ["glaucoma"], [[N], [P], [N], [N]]),
    "answers in rows": ("t.csv", "image,label,answer\na,cat,yes\na,dog,no\nb,dog,yes\n", ["a", "b"], ["cat", "dog"], [[P, N], [U, P]]),
    "targets in rows": ("t.csv", "image,label,target\na,cat,1\na,dog,0\n", ["a"], ["cat", "dog"], [[P, N]]),
    "folders beside names": ("t.csv", "folder,filename,cat\nx,a.jpg,1\ny,a.jpg,0\n", ["x/a.jpg", "y/a.jpg"], ["cat"], [[P], [N]]),
    "folders beside names in lists": ("t.csv", "file,dir,tags\na.jpg,p/q/,cat;dog\na.jpg,r,dog\n", ["p/q/a.jpg", "r/a.jpg"], ["cat", "dog"], [[P, P], [N, P]]),
    "present and absent": ("t.csv", "image,cat,dog\na,Present,Absent\nb,Absent,\n", ["a", "b"], ["cat", "dog"], [[P, N], [N, U]]),
    "positive and negative": ("t.csv", "image,cat,dog\na,positive,negative\nb,negative,positive\n", ["a", "b"], ["cat", "dog"], [[P, N], [N, P]]),
    "T and F": ("t.csv", "image,cat,dog\na,T,F\nb,F,T\n", ["a", "b"], ["cat", "dog"], [[P, N], [N, P]]),
    "numbers as numpy prints them": ("t.csv", "image,labels\na,[0 3  1]\nb,[2]\nc,[]\n", ["a", "b", "c"], list("0123"), [[P, P, N, P], [N, N, P, N], [N] * 4]),
    "arrays of Postgres": ("t.csv", 'image,labels\na,"{cat,""hot dog""}"\nb,{cat}\nc,{}\n', ["a", "b", "c"], ["cat", "hot dog"], [[P, P], [P, N], [N, N]]),
    "objects with a label": ("t.csv", 'image,labels\na,"[{""label"":""cat""}]"\nb,[]\n', ["a", "b"], ["cat"], [[P], [N]]),
    "categories in German": ("t.csv", "Bild;Kategorien\na;Hund\nb;Maus\nc;Hund\n", ["a", "b", "c"], ["Hund", "Maus"], [[P, N], [N, P], [P, N]]),
    "a blank column of pandas": ("t.csv", "image,cat,Unnamed: 2\na,1,\nb,0,\n", ["a", "b"], ["cat"], [[P], [N]]),
    "a spreadsheet in Turkish": ("t.csv", "resim;kedi\na.jpg;DO\u011eRU\nb.jpg;YANLI\u015e\n", ["a.jpg", "b.jpg"], ["kedi"], [[P], [N]]),
    "korean": ("t.csv", "image,cat\na.jpg,\uc608\nb.jpg,\uc544\ub2c8\uc624\n", ["a.jpg", "b.jpg"], ["cat"], [[P], [N]]),
    "wide digits": ("t.csv", "image,cat\na.jpg,\uff11\nb.jpg,\u0660\n", ["a.jpg", "b.jpg"], ["cat"], [[P], [N]]),
    "text named .xls": ("t.xls", "image\tcat\na.jpg\t1\nb.jpg\t0\n", ["a.jpg", "b.jpg"], ["cat"], [[P], [N]]),
    "a name in two lines": ("t.csv", 'image,"cat\n(small)"\na.jpg,1\nb.jpg,0\n', ["a.jpg", "b.jpg"], ["cat (small)"], [[P], [N]]),
}  # fmt: skip

# Name: file name, content, what the error says beside the file.
REFUSED = {
    "names of a mask's classes": ("_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n", "names of classes (or of masks), not of images"),
    **{
        f"1 and 0 under {name}": ("t.csv", f"{name},image,cat\n0,a,1\n0,b,0\n1,c,0\n", f"column {name!r} may be a label or say something of the image: name it")
        for name in ("nr", "No.", "__index_level_0__", "level_0")
    },
    "a column of numbered rows alone": ("t.csv", "image,S.No\na,1\nb,2\nc,3\n", "the header has no label column; write 1 and 0"),
    "JSON that is cut off": ("t.json", '{"a.jpg": ["cat"],\n "b.jpg": ["do', "not valid JSON: it ends at line 2, column 14, behind"),
    "JSON that is cut off between values": ("t.json", '{"a.jpg": ["cat"], "b.jpg": ["dog",', "it ends at character 35, behind"),
    "JSON that is cut off in a number": ("t.json", '[{"image": "a.jpg", "cat": -', "and is not complete: fetch or write it anew"),
    "JSON without anything": ("t.json", "", "not valid JSON: it is empty"),
    "a line of JSON that is cut off": ("m.jsonl", '{"file_name": "a.jpg", "labels": ["cat"]}\n{"file_name": "b.j', "line 2: not a JSON object: it ends at character 18, behind"),
    "facts of each row": (
        "t.csv", "image,cat,truncated,difficult\na,1,0,1\nb,0,1,0\n",
        "'truncated' may be a label or say something of the image, and so may 'difficult': name those that do in data.ignore_columns, [truncated,difficult]",
    ),
    "words in several columns": (
        "t.csv", ",image,town,mood\n0,a.jpg,Rome,glad\n1,b.jpg,Rome,sad\n3,c.jpg,Bonn,sad\n",
        "line 2, column 'town': 'Rome' is not 1, 0, -1 or blank; write 1 and 0 where columns are labels, or name the column that lists them in data.label_columns (words recur in 'town', 'mood')",
    ),
    "1 and 0 under a word for labels of another language": (
        "t.csv", "nome,rotulo\na.jpg,1\nb.jpg,0\n", "column 'rotulo': '1' may be a class, 0 or 1, or say whether the image has the label 'rotulo'",
    ),
    "measures and a class without a header": (
        "t.csv", "009,629.65,30.2,saffron\n009,731.4,173.3,saffron\n010,29.3,1.5,weed\n",
        "line 1 holds the number 629.65, as the lines below it do, and is a row, where names of columns should be",
    ),
    "flags as numpy prints fractions": (
        "t.csv", 'image,label\na.jpg,"[0. 1. 0. 0.\n 1.]"\nb.jpg,"[1. 0. 0. 0.\n 0.]"\n', "may be classes or a flag for each: name the 5 labels in data.label_columns",
    ),
    "an administrative flag alone": (
        "t.csv", "file,age,gender,race,service_test\na.jpg,50-59,Male,Asian,True\nb.jpg,30-39,Female,Asian,False\n",
        "column 'service_test' may be a label or say something of the image",
    ),
    "blank columns and words": (
        "t.csv", "patientid,offset,survival,view,imagename\nA,,,PA,a.png\nB,,,PA,b.png\nC,,,AP,c.png\n", "the header has no label column",
    ),
    "a finding beside a flag": (
        "t.csv", "imagename,finding,survival\na.png,COVID-19,Y\nb.png,No finding,N\nc.png,COVID-19,Y\n",
        "may be listed in column 'finding' or be the columns 'survival'",
    ),
    "images, a share and a kind": ("l.csv", "a.png 1.0 mono\nb.png 0.33 poly\n", "line 1 is separated by ' '"),
    "joints and sizes": (
        "t.json", '[{"img_paths": "a.jpg", "objpos": [594, 257], "joints": [[1, 2]], "scales": [3.02]}, {"img_paths": "b.jpg", "objpos": [227, 564], "joints": [], "scales": []}]',
        "the header has no label column",
    ),
    "a diagnosis beside many facts": (
        "t.csv", "img_id,smoke,drink,diagnostic,itch,grew,bleed\n" + "".join(f"{n}.png,True,False,{d},{i},{g},True\n" for n, (d, i, g) in enumerate((("NEV", "True", "UNK"), ("BCC", "UNK", "True"), ("NEV", "False", "False")))),
        "so it is in 2 columns: those that are no labels go to data.ignore_columns, [itch,grew]; if 'diagnostic', whose words recur, lists the labels, set data.label_columns to [diagnostic]",
    ),
    "names without endings and words, and no header": (
        "t.csv", "15_2_0,ring\n15_2_1,ring\n17_1_0,loop\n", "line 1 holds '15_2_0' and 'ring', as the lines below it do, and is a row",
    ),
    "how sure someone was of attributes": (
        "t.csv", "image,bald.label,bald.confidence,pitch.confidence\na.jpg,yes,1.0,1.0\nb.jpg,no,0.94,1.0\n",
        "column 'bald.confidence' may be a label or say something of the image, and so may 'pitch.confidence'",
    ),
    "opencv's boxes": ("l.txt", "a.jpg 1 140 100 45 46\nb.jpg 2 1 2 3 4 5 6 7 8\n", "line 1: the first number says how many groups of 4 follow, so these are boxes"),
    "opencv's boxes and classes": ("l.txt", "a.jpg 1 140 100 45 46 3\nb.jpg 0\n", "line 1: the first number says how many groups of 5 follow"),
    "flags of which one is 2": ("l.txt", "a.jpg 0 1 0 1\nb.jpg 2 1 0 1\n", "line 1: the number 0 stands twice, so these may be a flag for each label, numbers of several kinds"),
    "a fine and a coarse class": ("l.txt", "a.jpg, 3, 1\nb.jpg, 0, 0\n", "line 2: the number 0 stands twice"),
    "names without endings, and no header": ("t.txt", "Train_0000\t1\nTrain_0001\t1\nTrain_0002\t0\n", "line 1 holds 'Train_0000' and '1', as the lines below it do, and is a row"),
    "images and masks": ("l.txt", "a.jpg a.npy\nb.jpg b.npy\n", "line 1 is separated by ' '"),
    "images and numbers, without endings": ("l.txt", "0001\n0002 0 2\n0003 1\n", "line 2: '0002 0 2' names no image file: write its ending, as in '0002.jpg 0 2'"),
    "a cell more in one row of a table without a header": (
        "t.csv", rows_of(*["cat,train"] * 20) + "z.jpg,cat\n",
        "line 1 names the image '0.jpg', where the header should be, and lines have 2 to 3 cells: write a first line `image,labels`",
    ),
    "parts of the data among cells of a table without a header": ("t.csv", "a.jpg,cat,train\nb.jpg,dog\n", "in one cell, 'a.jpg,cat;train'"),
    "images and phrases": ("l.txt", "a.jpg hot dog\nb.jpg owl\n", "'hot dog' may be one label or 2: set data.separator to ' ' for several"),
    "a species beside a flag": (
        "t.csv", "id,image,species,standing\n1,a.jpg,cat,1\n2,b.jpg,dog,0\n3,c.jpg,cat,0\n", "may be listed in column 'species' or be the columns 'standing'",
    ),
    "names of classes": ("t.csv", "ClassId,Label\n0,cat\n1,dog\n2,owl\n", "'ClassId' numbers classes, so these are names of classes"),
    "class numbers beside a column of 1 and 0": (
        "t.csv", "image,ClassId,blurry\na,3,1\nb,1,0\n", "may be listed in column 'ClassId' or be the columns 'blurry'",
    ),
    "who looked": ("t.csv", "image,annotator\na,ann\nb,ann\n", "the header has no label column"),
    "a breed and a town": ("t.csv", "image,breed,town\na,pug,Rome\nb,pug,Rome\n", "name the column that lists them"),
    "a box or five classes": ("l.txt", "a.jpg 10,20,30,40,0\n", "set data.separator to ',' for classes, to ' ' for boxes"),
    "phrases that recur of words that stand alone": (
        "t.csv", "image,labels\n" + rows_of(*("hot dog", "hot", "dog", "owl", "fire engine") * 9), "'hot dog' may be one label or 2",
    ),
    "phrases that recur and share their words": (
        "t.csv", "image,labels\n" + rows_of(*("red car", "red bus", "blue car", "blue bus") * 9), "'red car' may be one label or 2",
    ),
    "measures in mxnet's list": ("t.lst", "0\t0.5\ta.jpg\n", "line 1: the number is no class number"),
    "other numbers in mxnet's list": ("t.lst", "0\t1\t0\ta.jpg\n1\t3\t7\tb.jpg\n", "line 1: its numbers are neither flags of 0 and 1 nor"),
    "several columns of other numbers": ("t.csv", "image,glasses,hair,top\n" + rows_of("0,1,1", "1,6,2", "1,0,0"), "'6' must be 1, 0, -1 or blank; so it is in 2 columns: those that are no labels go to data.ignore_columns, [hair,top]"),
    "numbers alone": ("labels.txt", "0\n0\n1\n", "a value a line, '0' the first, and no column names an image"),
    "words alone": ("labels.txt", "Western_Gull\nGull\nWestern_Gull\n", "a value a line, 'Western_Gull' the first"),
    "a map of classes": ("t.csv", "with,0\nwithout,1\nwrong,2\n", "a map of classes to their numbers, 'with' the first, and no"),
    "a map of numbers": ("t.csv", "1,cat\n2,dog\n", "a map of classes to their numbers, 'cat' the first"),
    "a slip among 1 and 0": ("t.csv", "image,cat\n" + rows_of(*"01" * 20, "2"), "line 42, column 'cat': '2' must be 1, 0, -1 or blank"),
    "numbers of places": ("t.csv", "image,location_id\n" + rows_of(*"0120002103"), "'location_id'"),
    "counts of cells": ("t.csv", "image,n_cells\n" + rows_of(*"0120002103"), "column 'n_cells': '2' must be 1, 0, -1 or blank"),
    "sentences of many words": (
        "t.csv", "image,tags\n" + rows_of(*(f"{a} on the {b} near {c}" for a in ("cat", "a dog", "one owl now") for b in ("bed", "sofa", "mat") for c in ("us", "you", "them"))),
        "'cat on the bed near us' may be one label or 6",
    ),
    "a box a line, one clipped": ("l.txt", "a.jpg 10,20,30,40,0\nb.jpg 0,9,0,9,1\n", "may be classes or a box and its class"),
    "a five a line, mirrored": ("l.txt", "a.jpg 30,20,10,40,0\n", "may be classes or a box and its class"),
    "fives that are no boxes": ("l.txt", "a.jpg 40,20,30,10,0 9,6,7,1,2\n", "line 1: fives of numbers, of which most are no boxes"),
    "boxes between blanks": ("l.txt", "a.jpg 1 2 3 4 0 5 6 7 8 2\n", "of boxes write a table, `image,xmin,ymin,xmax,ymax,class`"),
    "two ways to list": ("t.csv", "image,labels\na.jpg,cat;dog\nb.jpg,cat dog\n", "'cat dog' may be one label or 2: write ';'"),
    "two ways, by a stroke": ("t.csv", "image,labels\na.jpg,cat;dog\nb.jpg,cat/dog\n", "'cat/dog' may be one label or 2"),
    "two signs": ("t.csv", 'image,labels\na.jpg,cat;dog\nb.jpg,"cat, owl"\n', "holds ';' and ',': name one with data.separator"),
    "an unbroken blank": ("t.csv", "image,labels\na.jpg,cat\u00a0dog\nb.jpg,owl\n", "'cat dog' may be one label or 2"),
    "cat and dog": ("t.csv", "image,labels\na.jpg,cat and dog\nb.jpg,cat\n", "set data.separator to ' and ' for several"),
    "counts": ("t.csv", "image,labels\na.jpg,cat:3;dog:1\n", "line 2, column 'labels': 'cat:3' may be a label or one with"),
    "one count": ("t.csv", "image,labels\na.jpg,dog\nb.jpg,cat:3;cat\n", "line 3, column 'labels': 'cat:3' may be a label"),
    "scores in brackets": ("t.csv", 'image,labels\na.jpg,"cat (0.93), dog (0.1)"\n', "'cat (0.93)' may be a label or one with its"),
    "scores behind a blank": ("t.csv", "image,labels\na.jpg,cat 0.93\nb.jpg,dog 0.1\n", "'cat 0.93' may be a label or one with its"),
    "a doubt": ("t.csv", "image,labels\na.jpg,cat?\nb.jpg,cat;dog\n", "line 2, column 'labels': 'cat?' may be a label or an uncertain"),
    "below 0": ("t.csv", "image,labels\na.jpg,3\nb.jpg,-1\n", "line 3, column 'labels': '-1' may be a class or say that there is"),
    "a broken formula": ("t.csv", "image,labels\na.jpg,cat;dog\nb.jpg,#REF!\n", "line 3, column 'labels': #REF! is a spreadsheet's"),
    "a broken formula in German": ("t.csv", "image;label\na.jpg;cat\na.jpg;#WERT!\n", "line 3, column 'label': #WERT! is a"),
    "NA among labels": ("t.csv", "image,labels\na.jpg,cat;NA\nb.jpg,dog\n", "'NA' means no label, but 'cat' stands beside it"),
    "a status": ("t.csv", "image,cat,status\na.jpg,1,0\nb.jpg,0,1\n", "'status' may be a label or say something of the image"),
    "a confidence": ("t.csv", "image,cat,Confidence (%)\na.jpg,1,0\nb.jpg,0,1\n", "'Confidence (%)' may be a label or say"),
    "a confidence in percent": ("t.csv", "image,label,Confidence (%)\na.jpg,cat,93\nb.jpg,dog,3\n", "'93' must be 1 or 0; name the"),
    "a number of the rater": ("t.csv", "image,cat,RaterID\na.jpg,1,0\nb.jpg,0,1\n", "'RaterID' may be a label or say something"),
    "words for absent beside labels": (
        "t.csv", "image,label,finding_status\na.jpg,cat,present\na.jpg,dog,absent\n",
        "column 'finding_status' may say whether the image has the label of its row",
    ),
    "rows that were deleted": ("t.csv", "image,label,deleted\na,cat,1\na,dog,0\n", "'deleted' may say whether the image has the label of its row"),
    "deleted rows of absent labels": ("t.csv", "image,label,present,deleted\na,cat,1,1\na,dog,0,0\n", "or name it in data.ignore_columns"),
    "lists that are right or not": ("t.csv", "image,labels,correct\na,cat;dog,1\nb,dog,0\n", "'correct' may say whether the image has"),
    "a second label": ("t.csv", "image,label,label_2\na,cat,dog\nb,dog,\n", "set data.label_columns to [label,label_2] for all of them"),
    "a corrected label": ("t.csv", "image,label,correctedLabel\na,cat,dog\n", "'label' and 'correctedLabel' may both hold labels"),
    "birds beside a bird": ("t.csv", "image,primary_label,secondary_labels\na,cat,['dog']\nb,dog,[]\n", "to [primary_label,secondary_labels]"),
    "a list of another name beside a flag": ("t.csv", "image,objects,night\na,car;person,1\nb,car,0\n", "set data.label_columns to [objects] or to [night]"),
    "a folder that is blank": ("t.csv", "folder,file,cat\nx,a.jpg,1\n,a.jpg,0\n", "line 3: column 'folder' is blank, and images of one name"),
    "the end of a list": ("t.csv", 'image,labels\na,"cat, dog and bird"\nb,bird\nc,dog\n', "line 2, column 'labels': 'dog and bird' may be one label or several"),
    "the end of a list, behind a comma": ("t.csv", 'image,labels\na,cat\nb,"cat, dog, and bird"\n', "line 3, column 'labels': 'and bird' may be one label or end"),
    "a stroke in a list": ("t.csv", "image,labels\na,cat/dog;bird\nb,cat\nc,dog\n", "'cat/dog' may be one label or several: write ';'"),
    "a point in a list": ("t.csv", "image,labels\na,cat \u00b7 dog;bird\nb,cat\nc,dog\n", "dog' may be one label or several"),
    "the end of a sentence": ("t.csv", 'image,labels\na,"cat, dog."\nb,dog\n', "'dog.' may be a label or 'dog' at the end of a sentence"),
    "a list in brackets in a list": ("t.csv", 'image,labels\na,"cat (dog, bird)"\nb,cat\n', "line 2, column 'labels': 'cat (dog' opens a bracket"),
    "a japanese point": ("t.csv", "image,labels\na,\u732b\u30fb\u72ac\nb,\u732b\n", "set data.separator to '\u30fb' for several"),
    "und": ("t.csv", "image,labels\na,Katze und Hund\nb,Maus\n", "set data.separator to ' und ' for several"),
    "et": ("t.csv", "image,labels\na,chat et chien\nb,souris\n", "set data.separator to ' et ' for several"),
    "a date of ISO": ("t.csv", "image,labels\na,2021-03-04\nb,cat;dog\n", "line 2, column 'labels': '2021-03-04' may be a date"),
    "a german date": ("t.csv", "image;label\na;04.03.2021\nb;Hund\n", "line 2, column 'label': '04.03.2021' may be a date"),
    "an english date": ("t.csv", "image,labels\na,cat\nb,4/3/21\n", "line 3, column 'labels': '4/3/21' may be a date"),
    "a date without a year": ("t.csv", "image,labels\na,4. Mrz\nb,cat\n", "'4. Mrz' may be"),
    "a narrow column": ("t.csv", "image,labels\na,########\nb,cat;dog\n", "'########' is what a spreadsheet shows in place of"),
    "ditto": ("t.csv", 'image,label\na,cat\nb,""""\n', "line 3, column 'label': '\"' says that the cell above holds again"),
    "rows that were rejected": ("t.csv", "image,label,status\na,cat,ok\na,dog,rejected\n", "line 3, column 'status': 'rejected' may say that the label"),
    "rows without votes": ("t.csv", "image,label,votes\na,cat,3\na,dog,0\n", "line 3, column 'votes': '0' may say that the label does not"),
    "rows of an assignment that was rejected": (
        "t.csv", "image,label,AssignmentStatus\na,cat,Approved\na,dog,Rejected\n", "line 3, column 'AssignmentStatus': 'Rejected' may say that the label does",
    ),
    "rows that were counted 0 times": ("t.csv", "image,label,count\na,cat,3\na,dog,0\n", "line 3, column 'count': '0' may say that the label does not"),
    **{
        f"{sign!a} between labels that stand alone": (
            "t.csv", f"image,labels\na,cat{sign}dog\nb,cat\nc,dog\n", f"'cat{sign}dog' may be one label or 2: set data.separator to {sign!r} for several",
        )
        for sign in ("__", "::", "..", "->", "%", "!", "=", "$", "<br>")
    },
    "categories and those below them": ("t.csv", "image,category,subcategory\na,animal,cat\nb,animal,dog\n", "'category' and 'subcategory' may both hold labels: set"),
    "ranks in the words of GBIF": (
        "t.csv", "image,scientificName,vernacularName,class\na,Canis lupus,wolf,Mammalia\nb,Lynx lynx,lynx,Mammalia\n",
        "the one that holds the labels, [class], [scientificName], [vernacularName]",
    ),
    "half a letter": ("t.json", '[{"image": "a", "labels": ["\\ud800cat"]}]', "the label '\\ud800cat' is not UTF-8 and cannot be shown: write it anew"),
    "a caret": ("t.csv", "image,labels\na,cat^dog\nb,cat\n", "'cat^dog' may be one label or 2: set data.separator to '^' for several"),
    "scores beside a list": ("t.csv", "image,tags,scores\na,cat;dog,0.99;0.02\n", "line 2, column 'scores': '0.99;0.02' makes the labels predictions"),
    "a version": ("t.csv", "image,cat,version\na,1,0\nb,0,1\n", "'version' may be a label or say something of the image"),
    "a cell too many": ("t.csv", "image,labels\na.jpg,cat,dog\nb.jpg,cat,owl\n", "needs quotes around it, or a name is missing in line 1"),
    "ids, or R's names of rows": ("t.csv", "id,image,labels\n1,a.jpg,cat,dog\n2,b.jpg,cat,owl\n", "line 2 has 4 cells, the header 3"),
    "ranks of animals": (
        "t.csv", "image,class,order,family,species\na,Mammalia,Carnivora,Canidae,wolf\nb,Mammalia,Carnivora,Felidae,lynx\n",
        "column 'class' stands beside 'order', 'family', 'species', as ranks of animals and plants do: set data.label_columns to the one that holds the labels, [class], [species]",
    ),
    "several words beside lists in JSON": (
        "t.json", '[{"image": "a.jpg", "labels": ["cat", "dog"]}, {"image": "b.jpg", "labels": "dog, owl"}]', "is a list in brackets and 'dog, owl' is not",
    ),
    "two headers": ("t.csv", ",labels,labels\n,cat,dog\nimage,,\na.jpg,1,0\n", "line 1 repeats 'labels', and line 2 holds names too"),
    "a label without a name": ("t.csv", "image,cat,Unnamed: 2\na.jpg,1,1\nb.jpg,0,1\n", "line 1: column 3 has no name"),
    "a web page": ("t.csv", "<!DOCTYPE html>\n<html></html>", "a web page (HTML)"),
    "a pointer of Git LFS": ("t.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "fetch the file with `git lfs pull`"),
    "a packed table": ("t.csv", gzip.compress(b"image,cat\n"), "packed with gzip"),
    "an archive": ("t.csv", zipped(), "or a ZIP archive: save the table as CSV in UTF-8, or unpack it"),
    "a spreadsheet": ("t.ods", zipped(), "a spreadsheet's own format: save the table as CSV"),
    "Stata": ("t.csv", b"<stata_dta><header>", "Stata's own format (.dta): write it with Stata's `export delimited`"),
    "SPSS": ("t.sav", b"$FL2@(#) SPSS", "SPSS's own format: save the table as CSV"),
    "JSON": ("t.csv", '[{"image": "a.jpg", "cat": 1}]', "JSON, not a table: name it .json"),
    "a label behind the image": (
        "t.csv", "ID,Label\nID_1_epidural,0\nID_1_any,1\nID_2_epidural,0\nID_2_any,0\n",
        "line 2, column 'ID': 'ID_1_epidural' holds the image and the label 'epidural', one of 2",
    ),
    "a table on its side": ("t.csv", "label,a.jpg,b.jpg\ncat,1,0\n", "line 1 names images, 'a.jpg' the first"),
    "on its side, without endings": ("t.csv", "label,img1,img2\ncat,1,0\ndog,0,1\n", "or transpose the table if each image"),
    "a label a cell": ("t.csv", "image,label1,label2\na.jpg,cat,\nb.jpg,dog,cat\n", "set data.label_columns to [label1,label2] if so"),
    "several raters": ("t.csv", "image,cat_rater1,cat_rater2\na.jpg,1,1\nb.jpg,1,0\n", "'cat_rater1' and 'cat_rater2' may say of one"),
    "several readers first": ("t.csv", "image,r1_cat,r2_cat\na.jpg,1,1\nb.jpg,1,0\n", "'r1_cat' and 'r2_cat' may say of one label"),
    "a quote that stays open": ("t.csv", 'image,labels\na.jpg,"cat;dog\nb.jpg,dog\n', "line 2: 'cat;dog' begins with a quote that nothing"),
    "a formula": ("t.csv", "image,labels\na.jpg,cat\nb.jpg,=A2\n", "line 3, column 'labels': '=A2' is a formula"),
    "a spreadsheet's mark of text": ("t.csv", "image,labels\na.jpg,'cat\nb.jpg,'dog\n", "\"'cat\" begins with the sign by which"),
    "plus and minus": ("t.csv", "image,labels\na.jpg,+cat;-dog\nb.jpg,+dog\n", "'-dog' may say that a label is absent"),
    "a comma in rows": ("t.csv", 'image,label\na,"cat, small"\na,dog\n', "'cat, small' may be one label or 2: set data.format to long"),
    "numbers that were shortened": ("t.csv", "id,label\n1.23457E+15,cat\n1.23457E+15,dog\n", "line 2, column 'id': '1.23457E+15' is a"),
    "scores in rows": ("t.csv", "image,label\na,cat (0.9)\na,dog (0.1)\n", "line 2, column 'label': 'cat (0.9)' may be a label or one"),
    "a program beside a person": ("t.csv", "image,cat,cat_pred\na.jpg,1,0\nb.jpg,1,1\n", "'cat' and 'cat_pred' may say of one"),
    "a program before a label": ("t.csv", "image,cat,pred_cat\na.jpg,1,0\nb.jpg,1,1\n", "'cat' and 'pred_cat' may say of one"),
    "people who disagree": ("t.csv", "image,rad_id,cat,dog\na,R1,1,0\na,R2,0,1\n", "line 3, column 'rad_id': 'R2' and others say different"),
    "a cell beyond what csv reads": ("t.csv", f"image,labels\na.jpg,{'cat;' * 40_000}dog\n", "field limit (131072): shorten its longest cell"),
    "a list over several cells": ("t.csv", "image,labels,,\na.jpg,cat,dog,\n", "line 1: column 3 has no name and holds 'dog'"),
    "numbers for names": ("t.tsv", "antelope\t0\t1\t0\nbear\t1\t0\t0\n", "line 1 repeats '0', and is a row, where"),
    "a column twice": ("t.csv", "image,label,label\na.jpg,cat,dog\n", "repeats 'label', in columns 2 and 3"),
    "tensors": ("t.csv", 'image,labels\na.jpg,"tensor([0, 1])"\nb.jpg,"tensor([1, 0])"\n', "may be classes or a flag for each"),
    "bytes": ("t.csv", "image,label\na.jpg,b'cat'\nb.jpg,b'dog'\n", "the quotes are a part of b'cat'"),
    "quotes in the header": ("t.csv", "'image','cat'\na.jpg,1\n", "line 1: the quotes are a part of 'image'"),
    "signs of web pages": ("t.csv", "image,labels\na.jpg,cat &amp; dog;owl\n", "line 2, column 'labels': '&amp;' is a sign as web"),
    "items of a list": ("t.csv", 'image,labels\na.jpg,"- cat\n- dog"\n', "'- cat' may be a label or an item of a list"),
    "a star": ("t.csv", "image,labels\na.jpg,cat*;dog\nb.jpg,cat\n", "'cat*' may be a label or an uncertain 'cat'"),
    "R's vectors": ("t.csv", 'image,labels\na.jpg,"c(""cat"", ""dog"")"\nb.jpg,owl\n', "is a vector of R: write it with paste"),
    "printers' quotes": ("t.csv", "image,labels\na.jpg,\u201ccat\u201d;dog\nb.jpg,dog\n", "line 2, column 'labels': the quotes are a part"),
    "tags without blanks": ("t.csv", "image,tags\na.jpg,#cat#dog\nb.jpg,#cat\n", "'#cat#dog' holds 2 tags: write 'cat;dog'"),
    "dates": ("t.csv", "image,labels\na.jpg,1-Feb\nb.jpg,cat\n", "line 2, column 'labels': '1-Feb' may be a date"),
    "chinese commas between cells": ("t.csv", "image\uff0ccat\na.jpg\uff0c1\n", "line 1 is separated by '\uff0c': save"),
    "a stray byte": ("t.csv", "image;L\u00f6we;B\u00e4r\na.jpg;1;0\n".encode() + b"b\x80.jpg;0;1\n", "line 3: the byte 0x80 behind 'b' is not UTF-8"),
    "the Macintosh": ("t.csv", "image;L\u00f6we\ra.jpg;1\r".encode("mac_roman"), "line 1: the byte 0x9a is not UTF-8, and lines end as on"),
    "the later Macintosh": ("t.csv", "image;T\u00fcr\na.jpg;1\n".encode("mac_roman"), "line 1: 'image;T\u0178r' makes no sense as Windows-1252"),
    "czech": ("t.csv", "image;ko\u010dka\na.jpg;1\n".encode("cp1250"), "line 1: 'image;ko\u00e8k' makes no sense as Windows-1252"),
    "polish": ("t.csv", "image;kot;g\u0119\u015b\na.jpg;1;0\n".encode("iso8859_2"), "makes no sense as Windows-1252"),
    "kana": ("t.csv", "image;\u306d\u3053\na.jpg;1\n".encode("shift_jis"), "makes no sense as Windows-1252"),
    "hanzi of one letter": ("t.csv", "image;\u9e1f\na.jpg;1\n".encode("gbk"), "makes no sense as Windows-1252"),
}  # fmt: skip

# Name: content, what a warning says.
WARNED = {
    "a fold of 1 and 0": ("image,cat,dog,fold\na,1,0,0\nb,0,1,1\n", "column 'fold', of 1 and 0, is taken as a part of the data: if it is a label, name all"),
    "1 for yes and more 2 for no": ("image,cat,dog\na,1,1\nb,2,0\nc,2,1\n", "name the labels in data.label_columns; 1 and 2 may be yes and no"),
    "a diagnosis beside many columns": (
        "img_id,smoke,drink,bleed,diagnostic\na.png,1,0,1,NEV\nb.png,0,1,1,BCC\nc.png,0,0,0,NEV\n", "column 'diagnostic' is taken as no label, though its words recur",
    ),
    "counts that are left out": ("image,cat,dog\na.jpg,2,0\nb.jpg,5,1\nc.jpg,3,0\n", "'cat' is taken as no label"),
    "percentages that are left out": ("image,cat,dog\na.jpg,1,95%\nb.jpg,0,10%\n", "'dog' is taken as no label"),
    "two merged tables": ("image,cat_x,cat_y\na.jpg,1,1\nb.jpg,1,0\n", "pandas names a column of two merged tables so"),
    "blank or empty": ("image,labels\na.jpg,\nb.jpg,none\nc.jpg,cat\n", "1 cells of the labels are blank and 1 say that there is none"),
    "nobody knows": ("image,labels\na.jpg,unknown\nb.jpg,cat;dog\n", "'unknown' is read as a label: if it says that there is none"),
    "what was skipped": ("image,labels\na,skip\nb,cat;dog\n", "'skip' is read as a label: if it says that there is none"),
    "nobody knows, in rows": ("image,label\na.jpg,TODO\nb.jpg,cat\nb.jpg,dog\n", "'TODO' is read as a label"),
    "what is not there": ("image,labels\na.jpg,no cat;dog\nb.jpg,cat\n", "'no cat' is read as a label of its own"),
    "several people in rows": ("image,label,annotator\na,cat,Ann\na,dog,Bo\n", "several people saw in one image is united: line 3"),
    "people whose lists differ": ("image,annotator,labels\na,ann,cat\nb,ann,dog\na,bob,cat;dog\n", "several people saw in one image is united: line 4"),
    "a list beside yes and no": ("image,labels,nsfw\na,cat;dog,yes\nb,dog,no\n", "'nsfw', of 1 and 0, is not read: if it is a label, set"),
    "a list beside facts": (
        "image,tags,is_public,in_stock,done,night\na,cat;dog,1,1,0,0\nb,dog,0,1,1,1\n", "'is_public', 'in_stock', 'done' and 1 more",
    ),
    "rows of images by night": ("image,label,night\na,cat,1\na,dog,1\nb,dog,0\n", "'night', of 1 and 0, is not read"),
    "a second label in rows": ("image,label,label_2\na,cat,dog\na,dog,owl\n", "column 'label_2' may hold labels as 'label' does"),
    "words beside a flag": (
        "file,race,night\na.jpg,White,no\nb.jpg,Black,no\nc.jpg,Asian,yes\nd.jpg,Other,no\ne.jpg,White,yes\n",
        "column 'race' is taken as no label, though its words recur",
    ),
    "the end of a list that is not known": ('image,labels\na,"Hund, Katze und Maus"\n', "'Katze und Maus' ends a list and is one label"),
    "a doubt alone": ("image,label\na,cat?\nb,dog\n", "'cat?' is read as a label: if it marks a doubt"),
    "a part that may be one of the data": ("image,cat,train\na,1,0\nb,0,1\n", "column 'train' is read as a label: if it is none"),
    "names of classes beside a column of 1 and 0": (
        "image,class_name,blurry\na,cat,1\nb,dog,0\nc,cat,0\n", "column 'class_name' lists the labels, and 'blurry', of 1",
    ),
    "labels that may be facts": (
        "image,cat,eye,rank\na,1,0,1\nb,0,1,0\n", "columns 'eye', 'rank' are read as labels: if one is none, name it",
    ),
    "a label called label": ("image,cat,label\na,1,0\nb,0,1\n", "column 'label' is read as a label: if it is none"),
    "none and one": ("image,Edema,No Finding\na,1,1\nb,0,1\n", "line 2: 'a' has 'No Finding' and 'Edema': one of the two is wrong"),
    "lists that were rejected": (
        "image,labels,AssignmentStatus\na,cat;dog,Approved\nb,dog,Rejected\n", "line 3, column 'AssignmentStatus': 'Rejected' may say that the labels do",
    ),
    "images that were deleted": ("id,tags,is_deleted\na,cat;dog,1\nb,dog,0\n", "'is_deleted', of 1 and 0, is not read"),
    "lost letters": ("image,caf\ufffd\na.jpg,1\nb.jpg,0\n", "holds letters that another program did not read rightly"),
    "UTF-8 read as something else": ("image,L\u00c3\u00b6we\na.jpg,1\nb.jpg,0\n", "holds letters that another program did not"),
}  # fmt: skip
