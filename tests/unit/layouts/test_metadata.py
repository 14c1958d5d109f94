"""Labels of control types, and tables that tell of perturbations."""

from tests.unit.layouts.reading import read, refused, write


def test_metadata_tells_genes_and_labels_and_the_layout_overrules_it(tmp_path):
    path = write(tmp_path / "l.tsv", "well\tbroad_sample\tgene", "A1\tB1\t", "A2\tB2\tOWN", "A3\t\t")
    write(
        tmp_path / "one.csv", "broad_sample,gene,pert_type,control_type", "B1,TP53,trt,NA", "B2,MYC,control,poscon_cp"
    )
    write(tmp_path / "two.csv", "broad_sample,pert_iname,control_type", ",DMSO,negcon", "B1,no,treatment")
    metadata = (tmp_path / "one.csv", tmp_path / "two.csv")
    layout = read(path, metadata=metadata, control_types={"trt": "treatment", "poscon_cp": "poscon"})
    assert [layout["A01"][k] for k in ("gene", "compound", "control_type")] == ["TP53", "no", "treatment"]
    assert [layout["A02"][k] for k in ("gene", "control_type")] == ["OWN", "poscon"]
    assert [layout["A03"][k] for k in ("perturbation", "compound", "control_type")] == ["DMSO", "DMSO", "negcon"]


def test_metadata_that_lacks_or_contradicts_itself(tmp_path):
    path = write(
        tmp_path / "l.csv", "well,perturbation,control_type", "A1,g1,treatment", "A2,g2,treatment", "A3,n,negcon"
    )
    found = write(tmp_path / "m.csv", "perturbation,gene", "g1,TP53", "g1,TP53")
    message = refused(path, metadata=(found,), perturbations={"n": "negcon"})
    assert "the metadata lacks 1 perturbations: 'g2' (1 well)" in message
    write(found, "perturbation,gene", "g1,TP53", "g1,MYC")
    assert "says two things of 'g1'" in refused(path, metadata=(found,))
    write(found, "name,gene", "g1,TP53")
    assert "no column of perturbations" in refused(path, metadata=(found,))
    assert "a table is missing" in refused(path, metadata=(tmp_path / "none.csv",))


def test_a_control_type_of_our_own_may_be_mapped_too(tmp_path):
    path = write(tmp_path / "l.csv", "well,perturbation,control_type", "A1,g,poscon", "A2,n,empty")
    layout = read(path, control_types={"empty": "negcon"})
    assert [w["control_type"] for w in layout.values()] == ["poscon", "negcon"]


def test_a_line_break_in_the_metadata_is_refused_with_its_place(tmp_path):
    path = write(tmp_path / "l.csv", "well,perturbation,control_type", "A1,g1,treatment", "A2,n,negcon")
    found = write(tmp_path / "m.csv", "perturbation,gene", 'g1,"TP53\t=1"', "n,")
    message = refused(path, metadata=(found,))
    assert "control character: 'TP53\\t=1'" in message
    assert "m.csv, row 2, column gene" in message
