"""The words of the phantom's reports, in the notation of `grammar`: `[a|b|]` is a choice, `{side}` is filled in."""

from collections.abc import Mapping

# finding → (synonyms as (singular, plural), its location, accompanying sentences)
WORDS: Mapping[str, tuple[tuple[tuple[str, str], ...], str, str]] = {
    "chest nodule": (
        (
            ("nodule", "nodules"),
            ("pulmonary nodule", "pulmonary nodules"),
            ("rounded opacity", "rounded opacities"),
            ("coin lesion", "coin lesions"),
        ),
        "[in|within|projected over] the {side} [lung|hemithorax|lung field]",
        "[CT is recommended.|Well circumscribed.|Margins are smooth.|Follow-up advised.|]",
    ),
    "consolidation": (
        (("consolidation", ""), ("airspace opacity", ""), ("pneumonic infiltrate", ""), ("patchy opacification", "")),
        "[in|of|within] the {side} [lung|mid zone|lung, mid zone]",
        "[Air bronchograms are visible.|In keeping with pneumonia.|Infective changes are likely.|]",
    ),
    "pleural_effusion": (
        (("pleural effusion", ""), ("effusion", ""), ("collection of pleural fluid", "")),
        "[on the {side}|on the {side} side|at the {side} base]",
        "[The costophrenic angle is blunted.|The {side} hemidiaphragm is obscured.|A meniscus is seen.|]",
    ),
    "pneumothorax": (
        (("pneumothorax", ""), ("collection of pleural air", "")),
        "[on the {side}|on the {side} side|of the {side} hemithorax]",
        "[The pleural line is visible.|The {side} lung is partly collapsed.|No lung markings lateral to it.|]",
    ),
    "cardiomegaly": (
        (
            ("cardiomegaly", ""),
            ("enlargement of the heart", ""),
            ("enlarged cardiac silhouette", ""),
            ("increase in heart size", ""),
        ),
        "[|by cardiothoracic ratio]",
        "[The cardiothoracic ratio is raised.|The heart is enlarged.|]",
    ),
    "hand fracture": (
        (
            ("fracture", ""),
            ("metacarpal fracture", ""),
            ("shaft fracture of a metacarpal", ""),
            ("break in the metacarpal shaft", ""),
        ),
        "[of|in] the {side} hand",
        "[The fragments are displaced.|An oblique lucent line is visible.|Soft tissue swelling.|]",
    ),
    "knee fracture": (
        (
            ("fracture", ""),
            ("tibial plateau fracture", ""),
            ("fracture of the proximal tibia", ""),
            ("break in the tibial metaphysis", ""),
        ),
        "[of|at] the {side} knee",
        "[A lucent line crosses the proximal tibia.|The joint surface is involved.|]",
    ),
    "pelvis fracture": (
        (("fracture", ""), ("femoral neck fracture", ""), ("fracture of the neck of femur", ""), ("hip fracture", "")),
        "[on the {side}|of the {side} hip|on the {side} side]",
        "[The {side} leg is shortened.|The shaft is displaced upwards.|Shenton's line is broken.|]",
    ),
    "hand osteoarthritis": (
        (
            ("osteoarthritis", ""),
            ("degenerative change", ""),
            ("joint space narrowing with osteophytes", ""),
            ("finger joint arthrosis", ""),
        ),
        "[of the joints|in the fingers] of the {side} hand",
        "[Marginal osteophytes.|Subchondral sclerosis.|The interphalangeal joints are narrowed.|]",
    ),
    "knee osteoarthritis": (
        (
            ("osteoarthritis", ""),
            ("degenerative change", ""),
            ("gonarthrosis", ""),
            ("joint space narrowing with osteophytes", ""),
        ),
        "[of|in] the {side} knee",
        "[Marginal osteophytes.|Subchondral sclerosis.|Medial joint space is reduced.|]",
    ),
    "pelvis osteoarthritis": (
        (
            ("osteoarthritis", ""),
            ("coxarthrosis", ""),
            ("degenerative hip disease", ""),
            ("hip joint space narrowing with osteophytes", ""),
        ),
        "[of the {side} hip|on the {side}]",
        "[Marginal osteophytes.|Acetabular sclerosis.|A subchondral cyst.|]",
    ),
    "foreign_body": (
        (
            ("metallic foreign body", "metallic foreign bodies"),
            ("radio-opaque foreign body", "radio-opaque foreign bodies"),
            ("metal splinter", "metal splinters"),
        ),
        "[in the soft tissues|within the palm|projected over the palm] of the {side} hand",
        "[Of metal density.|Needle-like.|]",
    ),
    "knee joint_replacement": (
        (("knee replacement", ""), ("total knee arthroplasty", ""), ("knee prosthesis", "")),
        "on the {side}",
        "[Components are well seated.|No loosening.|Hardware in situ.|]",
    ),
    "pelvis joint_replacement": (
        (("hip replacement", ""), ("total hip arthroplasty", ""), ("hip prosthesis", "")),
        "on the {side}",
        "[The stem is well seated.|No loosening.|Hardware in situ.|]",
    ),
    "haemorrhage": (
        (
            ("intracerebral haemorrhage", "intracerebral haemorrhages"),
            ("parenchymal bleed", "parenchymal bleeds"),
            ("intra-axial haematoma", "intra-axial haematomas"),
        ),
        "[in the {side} hemisphere|in the {side} cerebral hemisphere|on the {side}]",
        "[Hyperdense with perifocal oedema.|Surrounding low density.|Acute blood.|]",
    ),
    "subdural": (
        (("subdural haematoma", ""), ("subdural collection", ""), ("crescentic extra-axial haematoma", "")),
        "[on the {side}|over the {side} convexity|along the {side} hemisphere]",
        "[Hyperdense crescent along the inner table.|The adjacent sulci are effaced.|]",
    ),
    "infarct": (
        (("infarct", ""), ("ischaemic stroke", ""), ("territorial infarction", ""), ("area of ischaemia", "")),
        "[in the {side} middle cerebral artery territory|in the {side} MCA territory|in the {side} hemisphere]",
        "[Wedge-shaped.|Loss of grey-white differentiation.|Reaching the cortex.|]",
    ),
    "hydrocephalus": (
        (
            ("hydrocephalus", ""),
            ("ventricular dilatation", ""),
            ("widening of the lateral ventricles", ""),
            ("ventricular enlargement", ""),
        ),
        "[|of the lateral ventricles|supratentorially]",
        "[The frontal horns are rounded.|The sulci are relatively narrow.|]",
    ),
    "liver_lesion": (
        (
            ("liver lesion", "liver lesions"),
            ("focal hepatic lesion", "focal hepatic lesions"),
            ("hepatic mass", "hepatic masses"),
            ("space-occupying lesion", "space-occupying lesions"),
        ),
        "[in|of|within] the [liver|right hepatic lobe]",
        "[Metastasis cannot be excluded.|Indeterminate.|Further characterisation advised.|]",
    ),
    "CT cyst": (
        (("renal cyst", "renal cysts"), ("simple cyst", "simple cysts"), ("cortical cyst", "cortical cysts")),
        "[in|of] the {side} kidney",
        "[Of water density.|Thin walled.|Bosniak I.|]",
    ),
    "CT stone": (
        (
            ("renal stone", "renal stones"),
            ("kidney stone", "kidney stones"),
            ("calculus", "calculi"),
            ("nephrolith", "nephroliths"),
        ),
        "[in|of] the {side} [kidney|renal pelvis]",
        "[The collecting system is dilated.|Hyperdense.|Mild hydronephrosis.|]",
    ),
    "aneurysm": (
        (
            ("aortic aneurysm", ""),
            ("abdominal aortic aneurysm", ""),
            ("aneurysmal dilatation", ""),
            ("infrarenal aneurysm", ""),
        ),
        "of the [aorta|abdominal aorta|infrarenal aorta]",
        "[With mural thrombus.|Wall thrombus is present.|No rupture.|]",
    ),
    "ascites": (
        (("ascites", ""), ("free fluid", ""), ("free intraperitoneal fluid", "")),
        "[|in the abdomen|around the liver|in the peritoneal cavity]",
        "[The liver is small.|Bowel loops float centrally.|]",
    ),
    "tumour": (
        (
            ("tumour", "tumours"),
            ("ring-shaped mass", "ring-shaped masses"),
            ("intra-axial neoplasm", "intra-axial neoplasms"),
            ("brain mass", "brain masses"),
        ),
        "[in|of] the {side} [hemisphere|cerebral hemisphere]",
        "[With central necrosis.|Surrounding oedema.|High-grade glioma or metastasis.|]",
    ),
    "white_matter_lesions": (
        (
            ("burden of white matter lesions", ""),
            ("load of white matter hyperintensities", ""),
            ("extent of periventricular lesions", ""),
            ("degree of microangiopathy", ""),
        ),
        "[|in the periventricular white matter|in both hemispheres]",
        "[Small vessel disease.|Demyelination is to be considered.|]",
    ),
    "joint_effusion": (
        (("joint effusion", ""), ("knee effusion", ""), ("collection of joint fluid", "")),
        "[|in the suprapatellar recess|of the knee]",
        "[The suprapatellar recess is distended.|]",
    ),
    "bone_bruise": (
        (
            ("bone bruise", "bone bruises"),
            ("bone marrow oedema", "areas of marrow oedema"),
            ("bone contusion", "bone contusions"),
        ),
        "[of the femoral condyle|at the knee|in the subchondral marrow]",
        "[No cortical break.|Post-traumatic.|]",
    ),
    "ligament_tear": (
        (
            ("anterior cruciate ligament tear", ""),
            ("ACL rupture", ""),
            ("tear of the anterior cruciate ligament", ""),
            ("cruciate ligament rupture", ""),
        ),
        "[|, complete|of the knee]",
        "[The fibres are discontinuous.|High signal in the intercondylar notch.|]",
    ),
    "bakers_cyst": (
        (("Baker's cyst", ""), ("popliteal cyst", ""), ("popliteal fluid collection", "")),
        "[|in the popliteal fossa|behind the knee]",
        "[Not ruptured.|]",
    ),
    "ultrasound stone": (
        (
            ("gallstone", "gallstones"),
            ("gall bladder calculus", "gall bladder calculi"),
            ("biliary stone", "biliary stones"),
        ),
        "in the [gall bladder|gall bladder lumen|gallbladder]",
        "[With acoustic shadowing.|Posterior shadow.|Cholelithiasis.|]",
    ),
    "ultrasound cyst": (
        (
            ("hepatic cyst", "hepatic cysts"),
            ("simple liver cyst", "simple liver cysts"),
            ("anechoic lesion", "anechoic lesions"),
        ),
        "[in|of] the [liver|right lobe]",
        "[With posterior enhancement.|Anechoic, thin walled.|]",
    ),
    "steatosis": (
        (
            ("hepatic steatosis", ""),
            ("fatty liver", ""),
            ("fatty infiltration of the liver", ""),
            ("echogenic liver", ""),
        ),
        "[|, diffuse]",
        "[Deep parts are poorly seen.|Increased echogenicity with attenuation.|]",
    ),
    "twin_pregnancy": (
        (("twin pregnancy", ""), ("twin gestation", ""), ("multiple pregnancy with two fetuses", "")),
        "[|, intrauterine]",
        "[Two heads are seen.|Both fetuses are alive.|]",
    ),
    "ventriculomegaly": (
        (
            ("fetal ventriculomegaly", ""),
            ("dilatation of the fetal ventricles", ""),
            ("widening of the lateral ventricles of the fetus", ""),
        ),
        "[|, bilateral]",
        "[Fetal MR is advised.|The atria are wide.|]",
    ),
    "oligohydramnios": (
        (("oligohydramnios", ""), ("reduction of amniotic fluid", ""), ("lack of amniotic fluid", "")),
        "[|for gestational age]",
        "[The deepest pocket is small.|]",
    ),
    "neck nodule": (
        (
            ("thyroid nodule", "thyroid nodules"),
            ("solid nodule", "solid nodules"),
            ("hypoechoic lesion", "hypoechoic lesions"),
        ),
        "[in|of] the {side} [thyroid lobe|lobe]",
        "[With microcalcifications.|TI-RADS 4.|Halo sign.|]",
    ),
    "neck cyst": (
        (("thyroid cyst", ""), ("colloid cyst", ""), ("anechoic lesion", "")),
        "[in|of] the {side} [thyroid lobe|lobe]",
        "[With posterior enhancement.|Anechoic.|]",
    ),
    "goitre": (
        (("goitre", ""), ("enlargement of the thyroid", ""), ("diffuse thyroid enlargement", "")),
        "[|of both lobes|involving both lobes]",
        "[The isthmus is thick.|Homogeneous.|]",
    ),
}
INDICATION = {
    "chest": "[cough|fever and cough|shortness of breath|chest pain|preoperative|follow-up]",
    "hand": "[trauma|fall|pain|crush injury|stiffness]",
    "knee": "[knee pain|trauma|twisting injury|locking|swelling]",
    "pelvis": "[fall|hip pain|limp|unable to bear weight]",
    "head": "[headache|confusion|collapse|weakness|dizziness|seizure]",
    "abdomen": "[abdominal pain|raised liver enzymes|flank pain|weight loss|staging]",
    "uterus": "[second trimester scan|growth scan|bleeding|anomaly scan]",
    "neck": "[neck swelling|palpable lump|raised TSH|dysphagia]",
}
